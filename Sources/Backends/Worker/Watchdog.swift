import Linux

/// Notices when a worker goes without an answer for too long while one is due.
final class Watchdog {
    /// How long it may.
    let patience: Duration
    private let timer: TimerFD
    private let loop: EventLoop
    private var watch: EventLoop.Token?
    private var hasProgressed = false

    /// Called when ``patience`` is over, with whether anything was answered meanwhile.
    var onTime: (_ hasProgressed: Bool) -> Void = { _ in }

    init(_ patience: Duration, loop: EventLoop) throws(Errno) {
        self.patience = patience
        self.loop = loop
        timer = try TimerFD()
        watch = try loop.watch("worker: watchdog", timer.descriptor, for: .readable) { [unowned self] _ in
            timer.consume()
            onTime(hasProgressed)
        }
    }

    deinit {
        if let watch { loop.unwatch(watch) }
    }

    /// From now on an answer is due, once.
    func start() {
        hasProgressed = false
        timer.set(patience)
    }

    /// An answer has come. Setting the timer for each would be a system call for each.
    func noteAnswer() { hasProgressed = true }

    /// None is due any more.
    func stop() { timer.set(nil) }
}
