import Control
import Glibc
import JSON
import Linux
import Programs
import Synchronization
import Testing

@testable import Mediation

/// What a device process sees of who follows its events. The process is the test's.
@Suite struct EventFollowerTests {
    /// How long the follower may take for anything: a busy machine has much else to do.
    private static let patience = Duration.seconds(240)

    @Test func whoeverIsDroppedComesAgainBehindTheSameNumber() async throws {
        let path = temporaryPath("events")
        let listener = try UnixListener(path: path)
        let told = Mutex<[Int]>([])
        let follower = try EventFollower(control: path) { events in told.withLock { $0.append(events.last) } }
        defer { follower.stop() }
        // On a thread of its own: the follower's handler needs one of those that tests have.
        let asked = try await blocking {
            try [[1], [2, 5]].map { try numbersAsked(of: listener, telling: $0) }
        }
        #expect(asked == [[0, 1], [1, 2, 5]])
        #expect(told.withLock { $0 } == [1, 2, 5])
    }

    /// Tells one who connects of these events, and drops them when they ask for more.
    ///
    /// - Returns: the numbers behind which they have asked.
    private func numbersAsked(of listener: UnixListener, telling events: [Int]) throws -> [Int?] {
        try #require(waitReadable([listener.descriptor.raw], within: Self.patience).first == true)
        guard let socket = try listener.accept() else { return [] }
        var incoming = try LineBuffer(limit: 4096)
        var descriptors = ReceivedDescriptors()
        func next() throws -> Int? {
            let line = try incoming.receiveLine(
                from: socket, until: Deadline(after: Self.patience), descriptors: &descriptors)
            return try JSON(parsing: line)["after"]?.int
        }
        var asked: [Int?] = []
        for last in events {
            asked.append(try next())
            let reply: JSON = ["version": 1, "result": ["events": [], "last": JSON(last), "lost": 0]]
            try socket.send(Array((reply.text + "\n").utf8).span.bytes, within: Self.patience)
        }
        asked.append(try next())
        return asked
    }
}
