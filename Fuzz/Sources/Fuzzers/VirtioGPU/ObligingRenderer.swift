import FuzzSupport
import Glibc
import Linux
import Renderer
import Synchronization
@testable import Worker

/// What answers the device in a renderer's place, on the device's own thread whenever it is called: it says yes to
/// most, draws nothing, and ends when the device is about to end it.
final class ObligingRenderer {
    private let launcher: UnixSocket
    private typealias Endpoint = WorkerEndpoint<RendererCommand, RendererReply>

    private var endpoint: Endpoint?
    private var fences: [UInt64] = []
    /// Whether the device has asked for anything since this renderer was started.
    private var isUsed = false

    /// Makes a device that begins by asking its renderer: that alone another thread must answer.
    ///
    /// - Parameter make: is given what the device takes for its render node.
    static func serve<Device>(_ make: (String) throws -> Device) throws -> (Device, ObligingRenderer) {
        let listener = try StandInListener()
        let greeter = try Greeter(listener)
        let device = try make(listener.path)
        guard let renderer = greeter.renderer() else { throw Errno.connectionReset }
        return (device, renderer)
    }

    /// Plays the renderer's part until the first commands, those of the device's beginning, are answered.
    private final class Greeter: Sendable {
        private let thread: Thread
        private let result: Result

        // SAFETY: written by the thread, and read when it was joined.
        private final class Result: @unchecked Sendable {
            var renderer: ObligingRenderer?
        }

        /// VIRTIO_GPU_CAPSET_VIRGL and VIRTIO_GPU_CAPSET_VIRGL2
        private static let commandCount = 2

        init(_ listener: StandInListener) throws(Errno) {
            let result = Result()
            self.result = result
            thread = try Thread(name: "renderer") {
                do {
                    let renderer = ObligingRenderer(launcher: try listener.accept())
                    var answered = 0
                    while answered < Self.commandCount { answered += try renderer.carryOutAll() }
                    result.renderer = renderer
                } catch {
                    fuzzFailed("The renderer's part can't be played: \(error)")
                }
            }
        }

        func renderer() -> ObligingRenderer? {
            thread.join()
            return result.renderer
        }
    }

    private init(launcher: consuming UnixSocket) {
        self.launcher = launcher
    }

    /// Ends, as by a crash, which its launcher tells.
    func die(by signal: Int32 = SIGSEGV) throws {
        guard endpoint != nil else { return }
        endpoint = nil
        fences = []
        isUsed = false
        try WorkerLink.send(WorkerLink.ended, number: UInt64(signal), over: launcher)
    }

    /// To be called when the device is about to have another renderer, and to wait until this one has ended: it has
    /// then.
    func prepareToEnd() throws {
        try carryOutAll()
        if isUsed { try die(by: SIGKILL) }
    }

    /// Hears the launcher's commands, and carries out all that the device has asked for.
    ///
    /// - Returns: how many commands.
    @discardableResult
    func carryOutAll() throws -> Int {
        try hearLauncher()
        var count = 0
        while let (sequence, request) = try endpoint?.next() {
            count += 1
            guard case .command(let command) = request else {
                if case .unmap(let window) = request { try endpoint?.finishUnmap(of: window, sequence) }
                continue
            }
            if case .capabilitySet = command {} else { isUsed = true }
            guard command != .fence else {
                fences.append(sequence)
                continue
            }
            try endpoint?.answer(sequence, reply(to: command))
        }
        // Later than what came behind them.
        for fence in fences { try endpoint?.answer(fence, RendererReply(.done)) }
        fences = []
        return count
    }

    private func hearLauncher() throws {
        var descriptors = ReceivedDescriptors()
        while try launcher.waitReadable(within: .zero) {
            let packet = try WorkerLink.receive(from: launcher, &descriptors, blocking: false)
            try die(by: SIGKILL)
            guard packet?.kind == WorkerLink.start, let socket = descriptors.take(0) else { continue }
            endpoint = try Endpoint(UnixSocket(owning: socket))
        }
    }

    private func reply(to command: RendererCommand) -> RendererReply {
        switch command {
        case .capabilitySet: return RendererReply(.done, data: [UInt8](repeating: 1, count: 308))
        // As real ones, it does not like everything.
        case .submit(_, let commands) where commands.first == 0: return RendererReply(.invalid)
        case .createResource(let parameters) where parameters.format > 128: return RendererReply(.invalid)
        case .createContext(_, _, let name) where name.isEmpty: return RendererReply(.outOfMemory)
        case .transferToHost(let transfer) where transfer.level > 0: return RendererReply(.noSuchObject)
        default: break
        }
        return RendererReply(.done)
    }
}
