import CLinux
import Device
import Display
import GuestMemory
import Linux
import Renderer

/// Carries out commands: a request's bytes in, a response's bytes out, at once or when the renderer is done. Of the world it knows
/// the guest's memory, the heads and the renderer, and nothing of queues.
final class CommandProcessor {
    /// The features that the driver has accepted, of ``VirtioGPU/Feature``.
    var features: VirtioGPU.Feature = []
    let heads: [Head]

    let host: Host
    var memory: VideoMemory
    var resources: [UInt32: Resource] = [:]
    /// nil: no 3D.
    let rendering: Rendering?
    /// Tells what the renderer makes from other things of the same number that it made before.
    var serial: UInt64 = 0
    var timelines = FenceTimelines()

    /// How many pictures a second each head may show; 0: any number.
    var frameRate: Int {
        didSet { if frameRate != oldValue { changeRate() } }
    }
    /// In the order of their moments.
    var postponed: [Postponed] = []
    /// Called with the nanoseconds after which ``showDue()`` is to be called; 0: it need not be.
    var onAlarm: (UInt64) -> Void = { _ in }

    /// Whether guest memory that can't be reached may still come, by no fault of the driver's.
    var isAwaited: (DMAError) -> Bool = { _ in false }

    /// - Parameter limit: how many bytes pictures may take, each in whole pages; at most ``VideoMemory/size``.
    init(
        host: Host, heads: Int, resolution: Resolution, limit: Int, frameRate: Int = 0,
        rendering: Rendering? = nil
    ) throws(DeviceMemoryError) {
        self.host = host
        self.rendering = rendering
        self.frameRate = frameRate
        let memory = try VideoMemory(reserved: heads * Head.cursorSize, limit: limit, of: host.deviceMemory)
        self.memory = memory
        self.heads = (0..<heads).map { Head($0, resolution: resolution, memory: memory.bytes) }
        rendering?.onLoss = { [unowned self] in loseHostResources() }
    }

    // MARK: Requests

    /// How far a command has come when its function returns.
    enum Progress {
        case done(Response.Outcome)
        /// It is the renderer's now. What comes after it is told whether that went well.
        case sent([RendererCommand], then: (Bool) -> Void)
        /// What these heads are to show is shown at a later moment.
        case postponed([Head], until: UInt64)

        /// Done, with nothing to tell.
        static var complete: Progress { .done(.done) }
    }

    /// Carries a request out.
    ///
    /// - Parameters:
    ///   - room: how many bytes of a response the driver takes.
    ///   - respond: called once, now or later; with nil when the driver takes no response. On the cursor queue such a command
    ///     is carried out all the same.
    func answer(_ request: RawSpan, from queue: Queue, room: Int, respond: @escaping (Response?) -> Void) {
        let isAnswered = room >= Response.headerSize
        guard isAnswered || queue == .cursor else { return respond(nil) }
        let header: virtio_gpu_ctrl_hdr
        do throws(Refusal) {
            header = try request.load(virtio_gpu_ctrl_hdr.self)
        } catch {
            return respond(isAnswered ? Response(.failure(error), to: nil) : nil)
        }
        let place = FenceTimelines.Timeline(header).map { timelines.enter($0) }
        let finish = { [unowned self] (result: Result<Response.Outcome, Refusal>) in
            let send = { respond(isAnswered ? Response(result, to: header) : nil) }
            guard let place else { return send() }
            for send in timelines.finish(place, send: send) { send() }
        }
        do throws(Refusal) {
            let command = try Command(header.type, in: request, from: queue)
            let payload = command.payloadSize
            guard payload == 0 || room >= Response.headerSize + payload else { throw .unspecified }
            switch try perform(command) {
            case .done(let outcome):
                guard room >= outcome.payload.count + Response.headerSize || !isAnswered else { throw .unspecified }
                finish(.success(outcome))
            case .sent(let commands, let then):
                try send(commands, isFenced: place != nil, then: then, finish)
            case .postponed(let heads, let moment):
                if place == nil { finish(.success(.done)) }
                postpone(heads, until: moment, place: place, finish: finish)
            }
        } catch {
            if case .unreachable(let missing) = error, isAwaited(missing) {
                // It comes once more, before what follows it, and takes its place then.
                if let place { for send in timelines.finish(place, send: {}) { send() } }
                return respond(isAnswered ? Response(.failure(error), to: header) : nil)
            }
            finish(.failure(error))
        }
    }

    /// Has the renderer carry out commands, and tells what came of it.
    func send(
        _ commands: [RendererCommand], isFenced: Bool, then: @escaping (Bool) -> Void,
        _ finish: @escaping (Result<Response.Outcome, Refusal>) -> Void
    ) throws(Refusal) {
        guard let rendering else { throw .unspecified }
        rendering.send(commands, isFenced: isFenced) { status in
            let refusal = Refusal(status)
            then(refusal == nil)
            finish(refusal.map { .failure($0) } ?? .success(.done))
        }
    }

    /// The driver takes no response any more: its queues are reset.
    func forgetFences() {
        timelines.removeAll()
    }

    private func perform(_ command: Command) throws(Refusal) -> Progress {
        switch command {
        case .getDisplayInfo: return .done(.displayInfo(heads))
        case .getEDID(let head): return .done(try edid(of: head))
        case .createImage(let id, let format, let width, let height):
            try createImage(id, format, width: width, height: height)
        case .createBlob(let id, let memory, let size, let backing):
            try createBlob(id, memory: memory, size: size, backing)
        case .unref(let id): return try unref(id)
        case .assignUUID(let id): return .done(try assignUUID(id))
        case .attachBacking(let id, let backing): return try attach(backing, to: id)
        case .detachBacking(let id): return try detachBacking(of: id)
        case .transfer(let id, let area, let offset): return try transfer(area, at: offset, to: id)
        case .flush(let id, let area): return try flush(area, of: id)
        case .setScanout(let head, let resource, let area): try setScanout(head, to: area, of: resource)
        case .setBlobScanout(let head, let resource, let area, let layout):
            try setScanout(head, to: area, ofBlob: resource, layout)
        case .getCapsetInfo(let index): return .done(try capabilitySetInfo(index))
        case .getCapset(let id, let version): return .done(try capabilitySet(id, version))
        case .createContext(let id, let initialization, let name):
            return try createContext(id, initialization, name)
        case .destroyContext(let id): return try destroyContext(id)
        case .attachResource(let id, let context): return try attach(id, toContext: context)
        case .detachResource(let id, let context): return try detach(id, fromContext: context)
        case .createHostResource(let parameters): return try createHostResource(parameters)
        case .transferToHost(let transfer): return try carryOut(transfer) { .transferToHost($0) }
        case .transferFromHost(let transfer): return try carryOut(transfer) { .transferFromHost($0) }
        case .submit(let context, let stream): return try submit(stream, to: context)
        case .updateCursor(let head, let resource, let x, let y, let hotX, let hotY):
            return try updateCursor(
                of: head, from: resource, Head.Pointer(x: x, y: y, hotX: hotX, hotY: hotY, isShown: resource != 0))
        case .moveCursor(let head, let x, let y): try moveCursor(of: head, x, y)
        }
        return .complete
    }

    func head(_ number: UInt32) throws(Refusal) -> Head {
        guard number < heads.count else { throw .invalidScanout }
        return heads[Int(number)]
    }

    func resource(_ id: UInt32) throws(Refusal) -> Resource {
        guard let resource = resources[id] else { throw .invalidResource }
        return resource
    }

    func require(_ feature: VirtioGPU.Feature) throws(Refusal) {
        guard features.contains(feature) else { throw .unspecified }
    }

    private func edid(of number: UInt32) throws(Refusal) -> Response.Outcome {
        try require(.edid)
        let resolution = try head(number).resolution
        return .edid(EDID(width: resolution.width, height: resolution.height, refresh: 60).bytes)
    }
}
