/// How long to wait before a device process that has died is replaced: at once the first time, then ever longer while
/// they die young.
struct BackOff: Equatable, Sendable {
    /// After so many that died young in a row there is no next one.
    static let limit = 8
    /// One that lived for so long has nothing to do with those before it.
    static let grown: Duration = .seconds(60)
    private static let longest: Duration = .seconds(30)

    private var deaths = 0

    init() {}

    /// - Parameter age: how long the process lived.
    /// - Returns: how long to wait; nil: give up.
    mutating func wait(after age: Duration) -> Duration? {
        if age >= Self.grown { deaths = 0 }
        deaths += 1
        guard deaths <= Self.limit else { return nil }
        return deaths == 1 ? .zero : min(Self.longest, .milliseconds(250 << (deaths - 2)))
    }
}
