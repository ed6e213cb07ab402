import FuzzSupport
import Glibc
import Linux
import Renderer

/// What answers the device in a renderer's place, on a thread of its own: it says yes to most, draws nothing, and ends when
/// it is told to.
final class ObligingRenderer: Sendable {
    private let listener: StandInListener
    private let mortality: EventFD
    private let ended: EventFD

    /// What the device is to be given as its render node.
    var path: String { listener.path }

    init() throws {
        listener = try StandInListener()
        mortality = try EventFD()
        ended = try EventFD()
        _ = try Thread(name: "renderer") { [self] in
            do {
                var session = Session(try listener.accept())
                while try session.serve(mortality, ended) {}
            } catch {
                fuzzFailed("The renderer's part can't be played: \(error)")
            }
        }
    }

    /// Ends the renderer, as a crash would, and returns when that is done.
    func die() {
        mortality.signal()
        _ = ended.wait(milliseconds: -1)
    }

    private struct Session: ~Copyable {
        private let launcher: UnixSocket
        private var endpoint: RendererEndpoint?
        private var fences: [UInt64] = []

        init(_ launcher: consuming UnixSocket) {
            self.launcher = launcher
        }

        /// Waits, and does what is to be done then.
        ///
        /// - Returns: false when the device has gone.
        mutating func serve(_ mortality: borrowing EventFD, _ ended: borrowing EventFD) throws -> Bool {
            try carryOutAll()
            let doorbell = endpoint?.commands.prepareToSleep() == false ? nil : endpoint?.doorbell
            var sources = [launcher.descriptor.raw, mortality.descriptor.raw]
            if let doorbell { sources.append(doorbell) }
            let isBusy = endpoint != nil && doorbell == nil
            let ready = try waitReadable(sources, milliseconds: isBusy ? 0 : -1)
            endpoint?.commands.wakeUp()
            if ready[1] {
                mortality.consume()
                try tellEnd(by: SIGSEGV)
                ended.signal()
            }
            guard ready[0] else { return true }
            var descriptors = ReceivedDescriptors()
            guard let packet = try? RendererLink.receive(from: launcher, &descriptors, blocking: true) else {
                return false
            }
            try tellEnd(by: SIGKILL)
            fences = []
            guard packet.kind == RendererLink.start, let socket = descriptors.take(0) else { return true }
            endpoint = try RendererEndpoint(UnixSocket(owning: socket))
            return true
        }

        /// Ends the renderer, if there is one, as its launcher tells.
        private mutating func tellEnd(by signal: Int32) throws {
            guard endpoint != nil else { return }
            endpoint = nil
            try RendererLink.send(RendererLink.ended, number: UInt64(signal), over: launcher)
        }

        private mutating func carryOutAll() throws {
            while let (sequence, command) = try endpoint?.nextCommand() {
                guard command != .fence else {
                    fences.append(sequence)
                    continue
                }
                let reply = try reply(to: command)
                _ = endpoint?.answer(sequence, reply)
            }
            // Later than what came behind them.
            for fence in fences { _ = endpoint?.answer(fence, RendererReply(.done)) }
            fences = []
        }

        private func reply(to command: RendererCommand) throws -> RendererReply {
            switch command {
            case .mapMemory: _ = try endpoint?.takeMemory()
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
}
