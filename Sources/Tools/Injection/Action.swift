import Alteration
import Linux
import Tap

/// What a rule does with a passage.
enum Action: Equatable, Sendable {
    /// `value=N`, `and=N`, `or=N`, `xor=N`, `ones`
    case change(Change)
    /// `corrupt`: one bit of what passes, chosen at random.
    case corrupt
    /// `errno=NAME`
    case refuse(Errno)
    /// `drop`
    case drop
    /// `repeat=N`: so many times more.
    case again(Int)
    /// `delay=TIME`, in nanoseconds.
    case delay(UInt64)
    /// `hold`: until somebody lets it go.
    case hold
    /// `raise=N`: the message of a vector goes out besides.
    case raise(Int)
    /// `disconnect`
    case disconnect

    /// Whether the passage waits.
    var waits: Bool {
        switch self {
        case .delay, .hold: true
        default: false
        }
    }

    /// What can be done so.
    var kinds: [Event.Kind] {
        switch self {
        case .change, .corrupt: [.read, .write, .doorbell, .memoryRead, .memoryWrite]
        case .refuse: [.read, .write, .memoryRead, .memoryWrite]
        case .drop: [.write, .doorbell, .memoryWrite, .message, .pin]
        case .again: [.write, .doorbell, .message]
        case .delay, .hold: [.read, .write, .doorbell, .message, .pin]
        case .raise, .disconnect: Self.allKinds
        }
    }

    /// All that a rule can be about.
    static let allKinds: [Event.Kind] = [
        .read, .write, .doorbell, .memoryRead, .memoryWrite, .message, .pin,
    ]
}
