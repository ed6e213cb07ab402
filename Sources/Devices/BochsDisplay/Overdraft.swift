import Linux

/// Looks again and again whether more video memory is in use than the limit allows, and has it given back.
///
/// A client gets the descriptor of all that the guest could ever have, since the size of a BAR is fixed. So it can map
/// what is beyond the limit, and touch it.
final class Overdraft {
    weak var display: BochsDisplay?
    /// Whether there is anything beyond the limit.
    var isPossible = false {
        didSet { timer.set(isPossible ? Self.interval : nil) }
    }

    private static let interval = Duration.seconds(1)
    private let loop: EventLoop
    private let timer: TimerFD
    private var watch: EventLoop.Token?

    init(loop: EventLoop) throws(Errno) {
        self.loop = loop
        timer = try TimerFD()
        watch = try loop.watch("video memory beyond the limit", timer.descriptor, for: .readable) { [unowned self] _ in
            timer.consume()
            if let display, let used = display.videoMemoryUsed, used > display.videoMemoryLimit {
                display.giveBackTheRest()
            }
            timer.set(isPossible ? Self.interval : nil)
        }
    }

    deinit {
        if let watch { loop.unwatch(watch) }
    }
}
