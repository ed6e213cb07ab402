import Glibc
import Linux
import Testing

@Suite struct BlockedSignalsTests {
    /// A process may be started with every signal blocked, as by a thread of libdispatch.
    @Test func aReceiveIsInterruptedEvenWhenEverySignalIsBlocked() throws {
        let pair = try UnixSocket.pair()
        let (ended, knock) = (try EventFD(), try EventFD())
        let raw = pair.first.descriptor.raw
        let thread = try Linux.Thread(name: "device") {
            var all = sigset_t()
            sigfillset(&all)
            pthread_sigmask(SIG_BLOCK, &all, nil)
            do { try receiveUntilHandled(100, raw, knock) } catch { Issue.record(error) }
            ended.signal()
        }
        let isInTime = ended.wait(within: .seconds(30)) > 0
        #expect(isInTime)
        // A thread that still waits is let go.
        pair.second.shutDown()
        thread.join()
    }
}

/// Receives from a socket on which nothing comes, until a handler has run so many times. Each run asks for
/// the next, which begins when the thread is about to receive again.
private func receiveUntilHandled(_ times: Int, _ raw: Int32, _ knock: EventFD) throws {
    let socket = UnixSocket(owning: Descriptor(owning: try duplicate(raw)))
    let loop = try EventLoop()
    var handled = 0
    let token = try loop.watch("knock", knock.descriptor, for: .readable) { _ in
        knock.consume()
        handled += 1
    }
    defer { loop.unwatch(token) }
    let buffer = try PageBuffer(count: 4096)
    while handled < times {
        let timer = try Linux.Thread(name: "knock") { knock.signal() }
        var descriptors = ReceivedDescriptors()
        let before = handled
        while handled == before {
            let received = try loop.receive(from: socket) { blocking throws(Errno) in
                try socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: blocking)
            }
            guard received == .nothing else { return }
        }
        timer.join()
    }
    loop.endReceiving()
}

private func duplicate(_ raw: Int32) throws -> Int32 {
    let copy = fcntl(raw, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { throw Errno(rawValue: errno) }
    return copy
}
