import Linux
import Synchronization
import Tap

/// Keeps what passes a function, with its bytes, in its order.
public final class KeepingTap: Tap, Sendable {
    /// One passage, and what went with it.
    public struct Seen: Equatable, Sendable {
        public var passage: Passage
        public var bytes: [UInt8]

        public init(_ passage: Passage, _ bytes: [UInt8] = []) {
            self.passage = passage
            self.bytes = bytes
        }
    }

    private let seen = Mutex<[Seen]>([])

    public init() {}

    public func note(_ passage: Passage, _ bytes: RawSpan) {
        var copy: [UInt8] = []
        copy.append(bytes)
        seen.withLock { $0.append(Seen(passage, copy)) }
    }

    /// What has passed since it was last taken, but for the loop's events, and what only annotates the rest.
    public func take() -> [Seen] {
        takeAll().filter {
            switch $0.passage {
            case .event, .client, .command, .request, .completion, .pending: false
            default: true
            }
        }
    }

    /// What has passed since it was last taken.
    public func takeAll() -> [Seen] {
        seen.withLock { seen in
            defer { seen = [] }
            return seen
        }
    }
}
