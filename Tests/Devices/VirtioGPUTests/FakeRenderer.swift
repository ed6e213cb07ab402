import Linux
import Testing

@testable import Renderer
@testable import Worker

/// What answers a device in a renderer's place, on a thread of its own: yes, unless it is told to say something else or
/// nothing yet. It notes what it was asked.
final class FakeRenderer: Sendable {
    private struct Notes {
        var commands: [RendererCommand] = []
        var status: @Sendable (RendererCommand) -> RendererReply.Status? = { _ in .done }
        /// Whether answers wait until ``goOn()``.
        var isHolding = false
    }

    private let notes = Locked(Notes())
    private let bell: EventFD
    private let launcher: LauncherEnd

    /// The launcher's end of the link.
    private final class LauncherEnd: Sendable {
        let socket: UnixSocket

        init(_ socket: consuming UnixSocket) { self.socket = socket }
    }

    private init(_ launcher: consuming UnixSocket) throws {
        bell = try EventFD()
        self.launcher = LauncherEnd(launcher)
    }

    /// Starts one.
    ///
    /// - Returns: it, and the device's end.
    static func start(_ loop: EventLoop) throws -> (FakeRenderer, RendererProcess) {
        let link = try UnixSocket.pair(keepsPackets: true)
        let process = try RendererProcess(
            "renderer", launcher: link.first, id: 0, loop: loop, memoryLimit: 1 << 30, patience: .seconds(60))
        let renderer = try FakeRenderer(link.second)
        _ = try Thread(name: "launcher") { renderer.launch() }
        return (renderer, process)
    }

    // MARK: What tests say and ask

    /// All commands since the last call, but for capability sets.
    func takeCommands() -> [RendererCommand] {
        notes.withLock { notes in
            defer { notes.commands = [] }
            return notes.commands.filter { if case .capabilitySet = $0 { false } else { true } }
        }
    }

    /// What is answered from now on; nil: nothing until ``goOn()``.
    func answer(_ status: @escaping @Sendable (RendererCommand) -> RendererReply.Status?) {
        notes.withLock {
            $0.status = status
            $0.isHolding = true
        }
    }

    /// Says yes to all that waits.
    func goOn() throws {
        notes.withLock {
            $0.status = { _ in .done }
            $0.isHolding = false
        }
        bell.signal()
    }

    /// Ends, as by a crash.
    func die() throws {
        try WorkerLink.send(WorkerLink.ended, number: 11, over: launcher.socket)
    }

    // MARK: Work

    /// Does the launcher's part until the device lets go of it.
    private func launch() {
        while true {
            var descriptors = ReceivedDescriptors()
            do throws(Errno) {
                _ = try waitReadable([launcher.socket.descriptor.raw], within: nil)
                guard let packet = try WorkerLink.receive(from: launcher.socket, &descriptors, blocking: false)
                else { continue }
                if packet.kind == WorkerLink.kill {
                    try WorkerLink.send(WorkerLink.ended, number: 9, over: launcher.socket)
                } else if let session = descriptors.take(0) {
                    let raw = session.relinquish()
                    _ = try Thread(name: "renderer") { [self] in serve(raw) }
                }
            } catch {
                return
            }
        }
    }

    private func serve(_ session: Int32) {
        var library = Library(renderer: self)
        do {
            var endpoint = try WorkerEndpoint<RendererCommand, RendererReply>(
                UnixSocket(owning: Descriptor(owning: session)))
            try library.serve(&endpoint)
        } catch {
            Issue.record("The renderer has ended: \(error)")
        }
    }

    private struct Library: WorkerLibrary {
        let renderer: FakeRenderer
        /// Commands whose answers wait. They end with their renderer.
        private var held: [UInt64] = []

        init(renderer: FakeRenderer) { self.renderer = renderer }

        mutating func carryOut(
            _ command: RendererCommand, _ sequence: UInt64, _ windows: WorkerWindows
        ) -> RendererReply? {
            let reply: RendererReply? = renderer.notes.withLock { notes in
                notes.commands.append(command)
                if case .capabilitySet = command { return RendererReply(.done, data: [1, 2, 3, 4]) }
                return notes.status(command).map { RendererReply($0) }
            }
            if reply == nil { held.append(sequence) }
            return reply
        }

        mutating func forget(window: UInt32) {}

        mutating func nextAnswer() -> (sequence: UInt64, reply: RendererReply)? {
            renderer.bell.consume()
            guard !held.isEmpty, renderer.notes.withLock({ !$0.isHolding }) else { return nil }
            return (held.removeFirst(), RendererReply(.done))
        }

        mutating func prepareToSleep() -> WorkerWait {
            .descriptor(renderer.bell.descriptor.raw)
        }
    }
}
