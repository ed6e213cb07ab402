import Control
import Foundation
import Glibc
import JSON
import Linux
import Mediation
import Synchronization
import Testing

@testable import Supervision

/// What device processes see of the one thread that watches them all. The processes are the test's.
@Suite struct ProcessWatchTests {
    /// How long anything may take: a busy machine has much else to do.
    private static let patience = Duration.seconds(240)

    /// A process that does nothing, and a control socket whose answers are the test's.
    private final class Fake {
        let watched: WatchedProcess
        let path = "/tmp/watched-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let listener: UnixListener

        init() throws {
            let identity = try ProcessIdentity(of: ChildProcess.spawn("/bin/sleep", ["1000"], passing: []))
            watched = WatchedProcess(identity, try identity.handle(), nil)
            listener = try UnixListener(path: path)
        }

        deinit { kill(watched.identity.id, SIGKILL) }

        func accept() throws -> Connection {
            try #require(waitReadable([listener.descriptor.raw], within: patience).first == true)
            guard let socket = try listener.accept() else { throw Errno.connectionRefused }
            return try Connection(socket)
        }
    }

    private final class Connection {
        let socket: UnixSocket
        private var incoming: LineBuffer

        init(_ socket: consuming UnixSocket) throws {
            self.socket = socket
            incoming = try LineBuffer(limit: 4096)
        }

        /// Behind which number is asked next.
        func asked() throws -> Int? {
            var descriptors = ReceivedDescriptors()
            let line = try incoming.receiveLine(
                from: socket, until: Deadline(after: patience), descriptors: &descriptors)
            return try JSON(parsing: line)["after"]?.int
        }

        func tell(_ last: Int) throws {
            let reply: JSON = ["version": 1, "result": ["events": [], "last": JSON(last), "lost": 0]]
            try send(reply.text + "\n")
        }

        func send(_ text: String) throws {
            try socket.send(Array(text.utf8).span.bytes, within: patience)
        }
    }

    /// What a watch has told.
    private final class Told: Sendable {
        private let numbers = Mutex<[Int]>([])
        let (ends, end) = AsyncStream<ProcessOutcome>.makeStream()
        var all: [Int] { numbers.withLock { $0 } }

        func watch(_ fake: Fake, by watch: ProcessWatch) {
            watch.add(fake.watched, control: fake.path) { [self] events in
                numbers.withLock { $0.append(events.last) }
            } onEnd: { [self] outcome in
                end.yield(outcome)
            }
        }
    }

    @Test func whoeverIsDroppedComesAgainBehindTheSameNumber() async throws {
        let (watch, told) = (try ProcessWatch(), Told())
        let asked = try await blocking { () -> [[Int?]] in
            let fake = try Fake()
            told.watch(fake, by: watch)
            return try [[1], [2, 5]].map { numbers in
                let connection = try fake.accept()
                var asked = try numbers.map { number in
                    defer { #expect(throws: Never.self) { try connection.tell(number) } }
                    return try connection.asked()
                }
                asked.append(try connection.asked())
                return asked
            }
        }
        #expect(asked == [[0, 1], [1, 2, 5]])
        #expect(told.all == [1, 2, 5])
    }

    @Test func theEndOfAProcessIsToldAndWhatItTellsIsNotHeardAnyMore() async throws {
        let (watch, told) = (try ProcessWatch(), Told())
        let fake = try Fake()
        told.watch(fake, by: watch)
        #expect(await !fake.watched.ends(within: .zero))
        kill(fake.watched.identity.id, SIGTERM)
        var ends = told.ends.makeAsyncIterator()
        #expect(await ends.next() == .signal(SIGTERM))
        #expect(fake.watched.hasEnded)
        // Its status is taken: it is no zombie.
        #expect(throws: Errno.noSuchProcess) { try fake.watched.handle.send(0) }
        try fake.watched.send(SIGKILL)
        _ = try await blocking { [raw = fake.listener.descriptor.raw] in
            // One connection, which is closed.
            try waitReadable([raw], within: Self.patience)
        }
        let connection = try fake.accept()
        #expect(throws: Errno.self) { while try connection.asked() != nil {} }
    }

    /// Floods, half an answer, silence, hanging up again and again, answers that are none, answers of the greatest
    /// length.
    @Test func noProcessOfNoGoodWillHoldsUpAnother() async throws {
        let (watch, told, strangers) = (try ProcessWatch(), Told(), Told())
        let acts: [@Sendable (Connection) throws -> Void] = [
            { connection in while true { try connection.send(String(repeating: "x", count: 1 << 16)) } },
            { connection in while true { try connection.send(String(repeating: "\n", count: 1 << 16)) } },
            { connection in
                // Each is an answer, and all come at once.
                for number in 1... { try connection.tell(number) }
            },
            { connection in
                try connection.send("{\"version\":1,\"result\":{\"events\":[")
                _ = try connection.socket.waitReadable(within: Self.patience)
            },
            { connection in try connection.send(String(repeating: "[", count: EventConnection.replyLimit - 1) + "\n") },
            { connection in connection.socket.shutDown() },
            { _ in },
        ]
        var hostile: [Fake] = []
        for act in acts + acts {
            let fake = try Fake()
            hostile.append(fake)
            strangers.watch(fake, by: watch)
            let raw = fake.listener.descriptor.raw
            let listener = fake.listener
            _ = try Thread(name: "hostile") {
                var kept: [Connection] = []
                while (try? waitReadable([raw], within: .seconds(600))) == [true] {
                    guard let socket = try? listener.accept(), let connection = try? Connection(socket) else { return }
                    // Until it is hung up on.
                    try? act(connection)
                    kept.append(connection)
                }
            }
        }
        let asked = try await blocking { () -> [Int?] in
            let fake = try Fake()
            told.watch(fake, by: watch)
            let connection = try fake.accept()
            return try (1...10).map { number in
                let asked = try connection.asked()
                try connection.tell(number)
                return asked
            } + [try connection.asked()]
        }
        #expect(asked == Array(0...10))
        for fake in hostile { kill(fake.watched.identity.id, SIGKILL) }
        var ends = strangers.ends.makeAsyncIterator()
        for _ in hostile { #expect(await ends.next() == .signal(SIGKILL)) }
    }
}
