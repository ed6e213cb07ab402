import CLinux
import Glibc

/// Signals as a descriptor, for ``EventLoop``. `signalfd(2)`
public final class SignalFD: Sendable {
    public let descriptor: Descriptor

    /// Blocks `signals` in the calling thread, and in threads it starts later, so that they arrive here only.
    public init(_ signals: [Int32]) throws(Errno) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        let error = pthread_sigmask(SIG_BLOCK, &set, nil)
        guard error == 0 else { throw Errno(rawValue: error) }
        descriptor = Descriptor(
            owning: try systemCall { signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK)) })
    }

    /// Takes what has arrived.
    public func consume() {
        var information = signalfd_siginfo()
        while read(descriptor.raw, &information, MemoryLayout<signalfd_siginfo>.size) > 0 {}
    }
}
