import Alteration
import Linux

/// What waits until its time has come or somebody lets it go.
final class WaitingRoom {
    /// What comes while so many wait doesn't wait.
    static let mostWaiting = 256

    struct Guest {
        let id: Int
        /// Who wants it to wait.
        let rule: Int
        let what: String
        /// When it goes on, in nanoseconds.
        let due: UInt64
        /// Until when somebody waits for an answer; nil: nobody does.
        let latest: UInt64?
        fileprivate let goOn: (_ isInTime: Bool) -> Void
    }

    /// How long after its limit an access is still answered, in nanoseconds: the thread may have been busy.
    private static let grace: UInt64 = 500_000_000

    private(set) var guests: [Guest] = []
    private var lastID = 0
    private let timer: TimerFD
    private let loop: EventLoop
    private let clock: () -> UInt64
    private var token: EventLoop.Token?

    init(_ loop: EventLoop, clock: @escaping () -> UInt64) throws(Errno) {
        self.loop = loop
        self.clock = clock
        timer = try TimerFD()
        token = try loop.watch("injection", timer.descriptor, for: .readable) { [unowned self] _ in turn() }
    }

    deinit {
        if let token { loop.unwatch(token) }
    }

    /// - Parameters:
    ///   - due: when it goes on, in nanoseconds.
    ///   - latest: by when whoever waits for it is to have its answer.
    /// - Returns: nil when there is no room.
    func enter(
        rule: Int, what: String, until due: UInt64, latest: UInt64?, _ goOn: @escaping (_ isInTime: Bool) -> Void
    ) -> Parking? {
        guard guests.count < Self.mostWaiting else { return nil }
        lastID += 1
        let id = lastID
        guests.append(Guest(id: id, rule: rule, what: what, due: due, latest: latest, goOn: goOn))
        setTimer()
        return Parking { [weak self] in self?.guests.removeAll { $0.id == id } }
    }

    /// Has some go on.
    ///
    /// - Returns: how many.
    @discardableResult
    func letGo(_ isMeant: (Guest) -> Bool) -> Int {
        let leaving = guests.filter(isMeant)
        let now = clock()
        for guest in leaving {
            // It is gone when one before it has had it forgotten.
            guard let index = guests.firstIndex(where: { $0.id == guest.id }) else { continue }
            guests.remove(at: index)
            guest.goOn(guest.latest.map { now <= $0 &+ Self.grace } ?? true)
        }
        return leaving.count
    }

    private func turn() {
        timer.consume()
        let now = clock()
        letGo { $0.due <= now }
        setTimer()
    }

    private func setTimer() {
        guard let due = guests.map(\.due).min() else { return timer.set(nil) }
        let now = clock()
        timer.set(due > now ? .nanoseconds(Int64(clamping: due - now)) : .zero)
    }
}
