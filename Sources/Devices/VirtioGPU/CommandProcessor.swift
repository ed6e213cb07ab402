import CLinux
import Device
import Display
import GuestMemory
import Linux
import Renderer

/// Carries out commands: reads a request, has whoever owns what it is about do it, and makes a response of what came of
/// it, at once, when the renderer has answered, or when a picture's moment has come. Of the world it knows the guest's
/// memory, the heads and the renderer, and nothing of queues.
final class CommandProcessor {
    /// The features that the driver has accepted, of ``VirtioGPU/Feature``.
    var features: VirtioGPU.Feature = []
    /// Called once for each request, by its number, now or later: with nil when the driver takes no response.
    var onReply: (UInt64, Response?) -> Void = { _, _ in }
    /// Called with the nanoseconds after which ``showDue()`` is to be called; 0: it need not be.
    var onAlarm: (UInt64) -> Void = { _ in }
    /// Whether guest memory that can't be reached may still come, by no fault of the driver's.
    var isAwaited: (DMAError) -> Bool = { _ in false }

    let host: Host
    let memory: VideoMemory
    let heads: Heads
    var resources: ResourceTable
    /// nil: no 3D, as with ``objects``.
    let rendering: Rendering?
    /// What the guest has in the renderer.
    let objects: RendererObjects?
    /// What the guest's programs share with the host's drivers; nil: the renderer has no use for it.
    let window: Window?
    private(set) var pacing: FramePacing
    private var timelines = FenceTimelines()

    /// - Parameter limit: how many bytes pictures may take, each in whole pages; at most ``VideoMemory/size``.
    init(
        host: Host, heads: Int, resolution: Resolution, limit: Int, frameRate: Int = 0,
        rendering: Rendering? = nil, window: Window? = nil
    ) throws(DeviceMemoryError) {
        let memory = try VideoMemory(reserved: heads * CursorImage.size, limit: limit, of: host.deviceMemory)
        self.host = host
        self.memory = memory
        self.heads = Heads(heads, resolution: resolution, memory: memory, guest: host.memory, window: window)
        self.rendering = rendering
        self.window = window
        resources = ResourceTable(in: memory)
        objects = rendering.map { RendererObjects(in: $0, memory: memory) }
        pacing = FramePacing(rate: frameRate, heads: heads)
        rendering?.onAnswer = { [unowned self] in take($1, for: $0) }
        rendering?.onLoss = { [unowned self] in
            objects?.removeAll()
            resources.loseHostResources()
            for due in window?.reset() ?? [] { finish(due, .success(.done)) }
        }
        window?.report = { host.report($0) }
        window?.onRelease = { [unowned self] in blobIsReleased($1, $0) }
    }

    // MARK: Requests

    /// How far a command has come.
    enum Progress {
        case done(Response.Outcome)
        /// It is the renderer's now.
        case asked([RendererCommand], RendererWork.Sequel)
        /// Done when a piece of the window, which the renderer was told to let go of, is nobody's.
        case releasing(UInt64)
        /// What these heads are to show is shown at a later moment.
        case postponed(HeadSet, until: UInt64)

        /// Done, with nothing to tell.
        static var complete: Progress { .done(.done) }
    }

    /// Carries a request out.
    ///
    /// - Parameters:
    ///   - number: by which ``onReply`` tells it from others: there is no other with the same.
    ///   - room: how many bytes of a response the driver takes. Without room for a header a command of the control
    ///     queue is not
    ///     carried out.
    func carryOut(_ request: RawSpan, number: UInt64, from queue: Queue, room: Int) {
        let takesResponse = room >= Response.headerSize
        guard takesResponse || queue == .cursor else { return onReply(number, nil) }
        let header: virtio_gpu_ctrl_hdr
        do throws(Refusal) {
            header = try request.load(virtio_gpu_ctrl_hdr.self)
        } catch {
            let ticket = Ticket(request: number, takesResponse: takesResponse, fence: nil)
            return give(Reply(ticket: ticket, result: .failure(error)))
        }
        let fence = Fence(header)
        let ticket = Ticket(request: number, takesResponse: takesResponse, fence: fence)
        let due = Due(ticket: ticket, place: fence.map { timelines.enter(.init($0)) })
        do throws(Refusal) {
            let command = try Command(header.type, in: request, from: queue)
            let payload = command.payloadSize
            guard payload == 0 || room >= Response.headerSize + payload else { throw .unspecified }
            switch try perform(command) {
            case .done(let outcome):
                guard room >= outcome.payload.count + Response.headerSize || !takesResponse else { throw .unspecified }
                finish(due, .success(outcome))
            case .asked(let commands, let sequel): ask(commands, sequel, due)
            case .releasing(let number):
                if window?.wait(due, for: number) != true { finish(due, .success(.done)) }
            case .postponed(let heads, let moment): postpone(heads, until: moment, due)
            }
        } catch {
            guard case .unreachable(let missing) = error, isAwaited(missing) else {
                return finish(due, .failure(error))
            }
            // It comes once more, before what follows it, and takes its place then.
            finish(Due(ticket: nil, place: due.place), .failure(error))
            give(Reply(ticket: ticket, result: .failure(error)))
        }
    }

    // MARK: Work in flight

    private func ask(_ commands: [RendererCommand], _ sequel: RendererWork.Sequel, _ due: Due) {
        let work = RendererWork(sequel: sequel, due: due)
        // There are commands only where there is a renderer.
        rendering?.send(commands + fence(of: due, behind: commands), for: work)
    }

    /// What the renderer answers when it has drawn what it was asked for, too: commands of Vulkan by the ring that the
    /// driver names, all else in one order.
    private func fence(of due: Due, behind commands: [RendererCommand]) -> [RendererCommand] {
        guard due.place != nil, let rendering, let objects else { return [] }
        if case .submit(let context, _) = commands.last, objects.capabilitySet(of: context) == Rendering.venusSet {
            return [.contextFence(context: context, ring: UInt32(due.ticket?.fence?.ring ?? 0))]
        }
        // Without OpenGL, all else is done when it is answered.
        return rendering.kinds.contains(.virgl) ? [.fence] : []
    }

    /// The renderer has answered, or has ended: nil.
    private func take(_ status: RendererReply.Status?, for work: RendererWork) {
        var refusal = Refusal(status)
        var outcome = Response.Outcome.done
        switch work.sequel {
        case .nothing: break
        case .contextMade(let id, let serial):
            if refusal != nil, objects?.forgetContext(id, serial: serial) == true { detachBlobs(from: id) }
        case .resourceMade(let id, let serial):
            if refusal != nil, let host = resources[id]?.host, !host.isLost, host.serial == serial { forget(id) }
        case .blobMapped(let id, let offset):
            if refusal != nil { takeBack(id, at: offset) }
            outcome = .mapInfo
        case .blobReleased(let number):
            // Whatever the renderer says of it, it has it no more.
            if window?.finishRelease(number, for: work.due) == true { return }
            refusal = nil
        case .pixelsCopied(let copies): heads.finish(copies)
        case .cursorRead(let read): heads.finish(read, isDone: refusal == nil)
        }
        finish(work.due, refusal.map { .failure($0) } ?? .success(outcome))
    }

    /// A piece of the window is nobody's.
    private func blobIsReleased(_ release: Window.Release, _ number: UInt64) {
        for due in release.waiting { finish(due, .success(.done)) }
        guard let id = release.resource, var blob = resources[id]?.hostBlob, blob.place == .releasing(number) else {
            return
        }
        blob.place = .nowhere
        resources.update(id, blob)
    }

    /// Some work is done: what is due for it is given, or when it is its turn.
    private func finish(_ due: Due, _ result: Result<Response.Outcome, Refusal>) {
        let reply = due.ticket.map { Reply(ticket: $0, result: result) }
        if let place = due.place {
            for reply in timelines.finish(place, with: reply) { give(reply) }
        } else if let reply {
            give(reply)
        }
    }

    private func give(_ reply: Reply) {
        let ticket = reply.ticket
        onReply(ticket.request, ticket.takesResponse ? Response(reply.result, ticket.fence) : nil)
    }

    // MARK: Frame rate

    /// How many pictures a second each head may show; 0: any number. Under another rate the next picture is the first.
    var frameRate: Int {
        get { pacing.rate }
        set {
            guard newValue != pacing.rate else { return }
            showPostponed()
            pacing.restart(rate: newValue)
        }
    }

    /// When what is flushed now is to be shown; nil: now.
    func moment(of heads: HeadSet) -> UInt64? {
        pacing.isLimited ? pacing.moment(of: heads, now: host.nanoseconds()) : nil
    }

    /// Keeps flushed pictures back until their moment.
    private func postpone(_ heads: HeadSet, until moment: UInt64, _ due: Due) {
        var due = due
        if due.place == nil {
            // It is answered at once. Fences behind it wait for its moment all the same: that of pictures which wait
            // already, if it is far ahead.
            finish(due, .success(.done))
            guard !pacing.isPostponed(heads, until: moment) else { return }
            due = Due(ticket: nil, place: timelines.enter(.device))
        }
        if pacing.postpone(.init(moment: moment, heads: heads, due: due)) { setAlarm() }
    }

    /// Shows the pictures whose moment has come.
    func showDue() {
        let now = host.nanoseconds()
        while let picture = pacing.takeDue(now: now) { show(picture) }
        setAlarm()
    }

    /// Shows all pictures now.
    func showPostponed() {
        guard !pacing.postponed.isEmpty else { return }
        for picture in pacing.takeAll() { show(picture) }
        setAlarm()
    }

    private func show(_ picture: FramePacing.Postponed) {
        do throws(Refusal) {
            let (commands, copies) = try heads.update(picture.heads, from: resources, rendering)
            guard !commands.isEmpty else { return finish(picture.due, .success(.done)) }
            ask(commands, .pixelsCopied(copies), picture.due)
        } catch {
            finish(picture.due, .failure(error))
        }
    }

    private func setAlarm() {
        onAlarm(pacing.alarm(now: host.nanoseconds()))
    }

    // MARK: Reset

    /// Forgets every resource, and what heads show. Monitors stay. No request is replied to any more.
    func reset() {
        forgetWork()
        memory.reset()
    }

    /// Forgets all that requests have led to.
    func forgetWork() {
        pacing.restart()
        setAlarm()
        timelines.removeAll()
        resources = ResourceTable(in: memory)
        heads.reset()
        // What it has not answered comes to nothing then.
        rendering?.reset()
        objects?.removeAll()
        window?.reset()
    }
}
