/// What a thread is to do later, by time.
struct Agenda {
    private var entries: [(time: ContinuousClock.Instant, key: ObjectIdentifier, act: () -> Void)] = []

    /// - Parameters:
    ///   - pause: from now on.
    ///   - key: whose it is. ``removeAll(of:)``
    mutating func add(after pause: Duration, for key: ObjectIdentifier, _ act: @escaping () -> Void) {
        let time = ContinuousClock.now + pause
        // Most pauses are as long as those before.
        let index = entries.lastIndex { $0.time <= time }.map { $0 + 1 } ?? 0
        entries.insert((time, key, act), at: index)
    }

    mutating func removeAll(of key: ObjectIdentifier) {
        entries.removeAll { $0.key == key }
    }

    /// How long there is nothing to do: nil, without end.
    var left: Duration? { entries.first.map { max(.zero, ContinuousClock.now.duration(to: $0.time)) } }

    /// Takes what is due.
    mutating func takeDue() -> [() -> Void] {
        let now = ContinuousClock.now
        let due = entries.prefix { $0.time <= now }
        entries.removeFirst(due.count)
        return due.map(\.act)
    }
}
