import Glibc
import Linux
import Testing

@testable import Renderer

/// Renderers that start and end, from both sides of the launcher's socket.
@Suite struct LauncherTests {
    /// The next packet, for which it waits; what came with it is closed unless it is taken.
    private func receive(
        from socket: borrowing UnixSocket, _ descriptors: inout ReceivedDescriptors
    ) throws -> RendererLink.Packet? {
        _ = try waitReadable([socket.descriptor.raw], milliseconds: 60_000)
        return try RendererLink.receive(from: socket, &descriptors, blocking: false)
    }

    private func receive(from socket: borrowing UnixSocket) throws -> RendererLink.Packet? {
        var descriptors = ReceivedDescriptors()
        return try receive(from: socket, &descriptors)
    }

    @Test func theLauncherTellsOfEachEndWhenNothingOfTheRendererIsLeft() throws {
        let link = try UnixSocket.pair(keepsPackets: true)
        let launcher = try ChildProcess.spawn(
            try CompanionProgram.path(of: "mediated-renderer"), [], passing: [link.second.descriptor.raw])
        defer { ChildProcess.end(launcher) }
        for signal in [SIGKILL, SIGTERM] {
            // Where no renderer is, there is nothing to tell.
            try RendererLink.send(RendererLink.kill, over: link.first)
            let session = try UnixSocket.pair(keepsPackets: true)
            try RendererLink.send(RendererLink.start, descriptors: [session.second.descriptor.raw], over: link.first)
            var child: Int32?
            let deadline = Deadline(milliseconds: 60_000)
            while child == nil, deadline.millisecondsLeft > 0 { child = try Bench.children(of: launcher).first }
            let renderer = try #require(child)
            if signal == SIGKILL {
                try RendererLink.send(RendererLink.kill, over: link.first)
            } else {
                kill(renderer, signal)
            }
            #expect(try receive(from: link.first) == .init(RendererLink.ended, number: UInt64(signal)))
            #expect(kill(renderer, 0) == -1 && errno == ESRCH)
        }
    }

    @Test func aRendererThatHangsUpHasNotEnded() throws {
        let link = try UnixSocket.pair(keepsPackets: true)
        let loop = try EventLoop()
        let renderer = try RendererProcess(
            launcher: link.first, id: 0, loop: loop, memoryLimit: 1 << 30, milliseconds: 60_000)
        try renderer.start()
        var isLost = false
        renderer.send(.fence) { isLost = $0 == nil }
        // The renderer's end comes with the packet, and nobody keeps it.
        #expect(try receive(from: link.second)?.kind == RendererLink.start)
        try loop.dispatch(milliseconds: 0)
        #expect(renderer.isRunning && !isLost)
        renderer.stop()
        #expect(try receive(from: link.second)?.kind == RendererLink.kill)
        #expect(!renderer.waitForEnd(milliseconds: 0) && !isLost)
        #expect(throws: Errno.resourceBusy) { try renderer.start() }
        try RendererLink.send(RendererLink.ended, number: UInt64(SIGKILL), over: link.second)
        #expect(renderer.waitForEnd(milliseconds: 60_000) && isLost)
        #expect(renderer.crashSignal == 0)
        try renderer.start()
    }

    @Test func withoutALauncherARendererHasEndedWhenItsSocketIsClosed() throws {
        let link = try UnixSocket.pair(keepsPackets: true)
        let launcher = link.second
        let loop = try EventLoop()
        let renderer = try RendererProcess(
            launcher: link.first, id: 0, loop: loop, memoryLimit: 1 << 30, milliseconds: 60_000)
        var ends: [String?] = []
        renderer.onEnd = { ends.append($0) }
        try renderer.start()
        var descriptors = ReceivedDescriptors()
        #expect(try receive(from: launcher, &descriptors)?.kind == RendererLink.start)
        _ = consume launcher
        try loop.dispatch(milliseconds: 60_000)
        #expect(!renderer.isRunning && ends.isEmpty)
        descriptors.removeAll()
        #expect(renderer.waitForEnd(milliseconds: 60_000))
        #expect(ends == ["The renderer's launcher has ended."])
    }
}
