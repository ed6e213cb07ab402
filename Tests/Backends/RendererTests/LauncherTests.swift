import Glibc
import Linux
import Testing

@testable import Worker

/// Renderers that start and end, from the other side of the launcher's socket.
@Suite struct LauncherTests {
    /// The next packet, for which it waits.
    private func receive(from socket: borrowing UnixSocket) throws -> WorkerLink.Packet? {
        var descriptors = ReceivedDescriptors()
        _ = try waitReadable([socket.descriptor.raw], within: .seconds(60))
        return try WorkerLink.receive(from: socket, &descriptors, blocking: false)
    }

    @Test func theLauncherTellsOfEachEndWhenNothingOfTheRendererIsLeft() throws {
        let link = try UnixSocket.pair(keepsPackets: true)
        let launcher = try ChildProcess.spawn(
            try CompanionProgram.path(of: "mediated-renderer"), ["virgl"], passing: [link.second.descriptor.raw])
        defer { ChildProcess.end(launcher) }
        for signal in [SIGKILL, SIGTERM] {
            // Where no renderer is, there is nothing to tell.
            try WorkerLink.send(WorkerLink.kill, over: link.first)
            let session = try UnixSocket.pair(keepsPackets: true)
            try WorkerLink.send(WorkerLink.start, descriptors: [session.second.descriptor.raw], over: link.first)
            // No event tells this process of another's children.
            var child: Int32?
            let deadline = Deadline(after: .seconds(60))
            while child == nil, !deadline.hasPassed { child = try Bench.children(of: launcher).first }
            let renderer = try #require(child)
            if signal == SIGKILL {
                try WorkerLink.send(WorkerLink.kill, over: link.first)
            } else {
                kill(renderer, signal)
            }
            #expect(try receive(from: link.first) == .init(WorkerLink.ended, number: UInt64(signal)))
            #expect(kill(renderer, 0) == -1 && errno == ESRCH)
        }
    }
}
