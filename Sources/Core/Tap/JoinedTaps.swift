/// Several taps in the place of one: each of them sees what passes.
public final class JoinedTaps: Tap {
    private let taps: [any Tap]
    public let seesAll: Bool

    public init(_ taps: [any Tap]) {
        self.taps = taps
        seesAll = taps.contains(where: \.seesAll)
    }

    public func note(_ passage: Passage, _ bytes: RawSpan) {
        for tap in taps { tap.note(passage, bytes) }
    }

    public func accessBegins(isRead: Bool) {
        for tap in taps { tap.accessBegins(isRead: isRead) }
    }

    public func accessEnds() {
        for tap in taps { tap.accessEnds() }
    }
}
