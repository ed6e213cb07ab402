import CLinux
import Glibc

/// One process, whatever becomes of its ID: when it has ended, and that is given to another, this still means the
/// first. `pidfd_open(2)`
public final class ProcessHandle: Sendable {
    /// Becomes readable when the process ends.
    public let descriptor: Descriptor

    /// - Parameter process: the ID of a process that is there, and is the one that is meant: look again when this is
    ///   made.
    /// - Throws: `.noSuchProcess` when there is none.
    public init(_ process: Int32) throws(Errno) {
        descriptor = Descriptor(owning: try shim(clinux_pidfd(process)))
    }

    /// Sends a signal, to this process or to none.
    ///
    /// - Throws: `.noSuchProcess` when it has ended, and its parent has taken note. `pidfd_send_signal(2)`
    public func send(_ signal: Int32) throws(Errno) {
        try shim(clinux_pidfd_send(descriptor.raw, signal))
    }
}
