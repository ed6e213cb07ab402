import Linux

/// What a test has waited for has not come true in a minute, which nothing takes that works.
public struct NeverTrue: Error, CustomStringConvertible {
    public let description: String

    /// - Parameter description: a sentence.
    public init(_ description: String = "It has not come true in a minute.") {
        self.description = description
    }

    /// How long is waited.
    public static let limit = Duration.seconds(60)
}

extension EventLoop {
    /// Runs handlers until something has come true.
    ///
    /// - Throws: ``NeverTrue``.
    public func dispatch(until isTrue: () throws -> Bool) throws {
        let deadline = Deadline(after: NeverTrue.limit)
        while try !isTrue() {
            guard !deadline.hasPassed else { throw NeverTrue() }
            try dispatch(within: deadline.left)
        }
    }
}
