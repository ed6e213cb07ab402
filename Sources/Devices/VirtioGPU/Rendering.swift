import Device
import GuestMemory
import Linux
import Renderer
import Worker

/// 3D: a renderer in a process of its own, from the device's side.
///
/// The renderer may end or hang at any moment, by the guest's doing or the driver's. Its contexts are lost then, and a
/// new one takes its place: at once, and the more often it happens the later. VIRTIO 1.2, section 5.7.6.9
final class Rendering {
    struct CapabilitySet: Equatable {
        let id: UInt32
        let version: UInt32
        let contents: [UInt8]
    }

    /// VIRTIO_GPU_CAPSET_VIRGL, VIRTIO_GPU_CAPSET_VIRGL2, and their versions.
    private static let virglSets: [(id: UInt32, version: UInt32)] = [(1, 1), (2, 2)]
    /// VIRTIO_GPU_CAPSET_VENUS
    static let venusSet: UInt32 = 4
    private static let venusSets: [(id: UInt32, version: UInt32)] = [(venusSet, 0)]

    /// What a renderer may take besides the video memory, in bytes: shaders and whatever else a guest has a driver
    /// make, of which the device knows nothing.
    private static let spareMemory: UInt64 = 256 << 20

    /// What it draws.
    let kinds: RendererKinds
    let capabilitySets: [CapabilitySet]
    let windows: GuestWindows
    /// What the renderer was asked for and has not answered, by number.
    private var inFlight: [UInt64: InFlight] = [:]
    private var count: UInt64 = 0
    /// Called with work that the renderer has carried out, and the first status of its commands that is not
    /// ``RendererReply/Status/done``; nil: the renderer has ended.
    var onAnswer: (RendererWork, RendererReply.Status?) -> Void = { _, _ in }
    /// Called when every context, and all that the renderer had, is lost.
    var onLoss: () -> Void = {}
    /// Takes a sentence for the administrator.
    var report: (String) -> Void = { _ in }
    /// Called when ``isCongested`` has become false.
    var onRoom: () -> Void {
        get { process.onRoom }
        set { process.onRoom = newValue }
    }

    let process: RendererProcess
    private let loop: EventLoop
    private let timer: TimerFD
    private var timerWatch: EventLoop.Token?
    private var backOff: BackOff
    /// What the renderer calls memory of the device's own that it has been given.
    private var shared: [ObjectIdentifier: UInt32] = [:]
    /// Whether the renderer was asked for anything.
    private var isUsed = false

    /// Starts a renderer, and waits until it has told what it can do.
    ///
    /// - Parameters:
    ///   - kinds: what it is to draw.
    ///   - renderNode: such as /dev/dri/renderD128; nil: a software renderer.
    ///   - videoMemory: its limit, in bytes.
    ///   - window: how many bytes of memory it is to import parts of; 0: none.
    ///   - seconds: how long a renderer may go without an answer while one is due.
    /// - Throws: `OptionError` when there is none on this machine.
    convenience init(
        host: Host, kinds: RendererKinds, renderNode: String?, videoMemory: Int, window: Int, seconds: Int
    ) throws {
        // What a renderer does in memory that it shares passes nobody: no recording has it.
        guard host.world == nil else { throw OptionError("A device with 3D can't be lived again from a recording.") }
        let program: String
        do throws(CompanionProgram.Missing) {
            program = try CompanionProgram.path(of: "mediated-renderer")
        } catch {
            throw OptionError("There is no 3D on this machine. \(error)")
        }
        let patience = Duration.seconds(seconds)
        let process = try RendererProcess(
            program: program, kinds: kinds, renderNode: renderNode, window: UInt64(window), loop: host.loop,
            memoryLimit: Self.spareMemory + UInt64(videoMemory), patience: patience)
        try self.init(host: host, process, kinds: kinds, renderNode: renderNode, within: patience)
    }

    /// Starts a renderer of a launcher that is there.
    ///
    /// - Parameter patience: how long the renderer may take until it has told what it can do.
    init(
        host: Host, _ process: RendererProcess, kinds: RendererKinds, renderNode: String?, within patience: Duration
    ) throws {
        self.process = process
        self.kinds = kinds
        process.tap = { [weak host] in host?.tap }
        windows = try GuestWindows(host.memory, for: process, loop: host.loop)
        self.loop = host.loop
        backOff = BackOff(clock: host.nanoseconds)
        timer = try TimerFD()
        capabilitySets = try Self.capabilitySets(of: process, kinds, renderNode, within: patience)
        process.onEnd = { [unowned self] in hasEnded($0) }
        timerWatch = try loop.watch("renderer: next start", timer.descriptor, for: .readable) { [unowned self] _ in
            timer.consume()
            start()
        }
    }

    deinit {
        if let timerWatch { loop.unwatch(timerWatch) }
    }

    private static func capabilitySets(
        of process: RendererProcess, _ kinds: RendererKinds, _ renderNode: String?, within limit: Duration
    ) throws -> [CapabilitySet] {
        try process.start()
        var sets: [CapabilitySet] = []
        let wanted = (kinds.contains(.virgl) ? virglSets : []) + (kinds.contains(.venus) ? venusSets : [])
        for (id, version) in wanted {
            process.send(.capabilitySet(id: id, version: version)) { reply in
                guard let reply, reply.status == .done else { return }
                sets.append(CapabilitySet(id: id, version: version, contents: reply.data))
            }
        }
        let isInTime = process.waitForAnswers(within: limit)
        let hasAll =
            (!kinds.contains(.virgl) || sets.contains { $0.id != venusSet })
            && (!kinds.contains(.venus) || sets.contains { $0.id == venusSet })
        guard isInTime, process.isRunning, hasAll else {
            let place = renderNode.map { "at '\($0)'" } ?? "in software"
            throw OptionError(
                "There is no 3D \(place) on this machine: "
                    + reason(of: process, kinds, isInTime: isInTime, renderNode, within: limit))
        }
        return sets
    }

    /// Why a renderer could not tell what it can do. Where virglrenderer finds no driver, some of its versions crash.
    private static func reason(
        of process: RendererProcess, _ kinds: RendererKinds, isInTime: Bool, _ renderNode: String?,
        within limit: Duration
    ) -> String {
        guard isInTime else { return "the renderer has not started within \(limit.components.seconds) s." }
        if process.isRunning { return "virglrenderer doesn't offer what '\(kinds)' needs." }
        guard process.crashSignal != 0 else { return "the renderer can't start, for the reason in the line above." }
        let (node, packages) =
            kinds.contains(.virgl)
            ? ("an OpenGL", "libegl-mesa0, libgl1 and libgl1-mesa-dri") : ("a Vulkan", "mesa-vulkan-drivers")
        let question =
            renderNode.map { "is '\($0)' a render node with \(node) driver?" }
            ?? "is Mesa's software driver (\(packages)) installed?"
        return "virglrenderer crashed (signal \(process.crashSignal)) while it looked for \(node) driver: \(question)"
    }

    /// The video memory has another limit, in bytes. A renderer that was used keeps what it may take; the next one has
    /// the new limit.
    func change(videoMemory: Int) {
        process.memoryLimit = Self.spareMemory + UInt64(videoMemory)
        if !isUsed { process.stop() }
    }

    // MARK: Commands

    /// Whether commands wait for room: there had better come no more.
    var isCongested: Bool { process.isCongested }

    /// Commands that belong together.
    private struct InFlight {
        let work: RendererWork
        /// How many of them have no answer.
        var left: Int
        var status: RendererReply.Status? = .done
    }

    /// Has the renderer carry out commands, one after the other, whether they succeed or not. ``onAnswer`` follows, at
    /// once when there is no renderer.
    ///
    /// - Parameter commands: at least one.
    func send(_ commands: [RendererCommand], for work: RendererWork) {
        isUsed = true
        count += 1
        let number = count
        inFlight[number] = InFlight(work: work, left: commands.count)
        for command in commands { send(command, of: number) }
    }

    private func send(_ command: RendererCommand, of number: UInt64) {
        let mayWrite = command.mayWriteGuestMemory
        process.send(command) { [unowned self] reply in
            if mayWrite { windows.markWritten() }
            take(reply?.status, of: number)
        }
    }

    private func take(_ status: RendererReply.Status?, of number: UInt64) {
        guard var asked = inFlight[number] else { return }
        if asked.status == .done { asked.status = status }
        asked.left -= 1
        inFlight[number] = asked.left == 0 ? nil : asked
        if asked.left == 0 { onAnswer(asked.work, asked.status) }
    }

    /// Has the renderer carry out a command of which nobody waits for the answer.
    func tell(_ command: RendererCommand) {
        isUsed = true
        process.send(command)
    }

    /// Where bytes of memory of the device's own are for the renderer.
    ///
    /// - Parameter memory: lives as long as this.
    func place(in memory: MappedBytes, at offset: Int, size: Int) throws(Refusal) -> MemoryPiece {
        if let window = shared[ObjectIdentifier(memory)] {
            return .init(window: window, offset: UInt64(offset), size: UInt64(size))
        }
        guard let file = memory.file else { throw .invalidContext }
        let window: UInt32
        do throws(Errno) {
            window = try process.share(file.descriptor, offset: 0, size: UInt64(memory.size))
        } catch {
            throw .invalidContext
        }
        shared[ObjectIdentifier(memory)] = window
        return .init(window: window, offset: UInt64(offset), size: UInt64(size))
    }

    // MARK: Life

    private func start() {
        do throws(Errno) {
            try process.start()
        } catch .resourceBusy {
            // Its end will be heard.
        } catch {
            report("No renderer can be started: \(error).")
            timer.set(.nanoseconds(backOff.next()))
        }
    }

    private func hasEnded(_ reason: String?) {
        shared = [:]
        isUsed = false
        windows.removeAll()
        onLoss()
        guard let reason else { return start() }
        let delay = backOff.next()
        report(
            "\(reason) The guest's 3D contexts are lost; a new renderer starts "
                + "\(delay < 1_000_000_000 ? "at once" : "in \(delay / 1_000_000_000) s").")
        timer.set(.nanoseconds(delay))
    }

    /// How long a renderer that is told to end may take. It is killed, so this is a matter of scheduling.
    static let endLimit = Duration.seconds(1)
    /// How long a renderer may take for what it has begun when the device is to stand still, or for letting go of guest
    /// memory. Together with ``endLimit`` it is less than the five seconds that clients wait for an answer.
    static let settleLimit = Duration.seconds(2)

    /// Gives the guest, which begins anew, another renderer, unless this one was never used.
    func reset() {
        guard isUsed else { return }
        process.stop()
        // Nothing of the last guest reaches the pictures of the next one.
        _ = process.waitForEnd(within: Self.endLimit)
    }

    /// Waits until the renderer touches no guest memory: it has carried out everything, or is ended.
    func settle() {
        guard !process.waitForAnswers(within: Self.settleLimit) else { return }
        process.stop()
        _ = process.waitForEnd(within: Self.endLimit)
    }
}

extension RendererCommand {
    /// Transfers are part of command streams, too.
    fileprivate var mayWriteGuestMemory: Bool {
        switch self {
        case .submit, .transferFromHost: true
        default: false
        }
    }
}
