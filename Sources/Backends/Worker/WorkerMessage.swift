/// What goes through a worker's rings: a command, or the answer to one. A library brings a type of each. Both ends are
/// of one build, so there are no versions.
public protocol WorkerMessage: Sendable {
    /// Writes what ``init(kind:payload:)`` reads.
    ///
    /// - Returns: the message's kind, less than 2³¹.
    func encode(into payload: inout PayloadWriter) -> UInt32

    /// Reads a message. A payload that is too short, or too long, is found by whoever calls this.
    ///
    /// - Returns: nil when the message is none.
    init?(kind: UInt32, payload: inout PayloadReader)

    /// What a command is called in the sentence about a worker that hung at it; nil: it isn't named there.
    var title: MessageTitle? { get }

    /// Whether a command's answer may come at any time: for one that is due for long the worker isn't taken for hung.
    var isPatient: Bool { get }
}

extension WorkerMessage {
    public var title: MessageTitle? { nil }

    public var isPatient: Bool { false }
}

/// What a command is called, without an allocation for each: such as "SUBMIT_3D of context" and 3.
public struct MessageTitle: Sendable, CustomStringConvertible {
    private let name: StaticString
    private let number: UInt32

    public init(_ name: StaticString, _ number: UInt32) {
        self.name = name
        self.number = number
    }

    public var description: String { "\(name) \(number)" }
}

/// Bytes in a window of memory that a device process shares with its worker.
public struct MemoryPiece: Equatable, Sendable {
    /// What ``WorkerProcess/share(_:offset:size:)`` has called it.
    public var window: UInt32
    /// From the window's beginning, in bytes.
    public var offset: UInt64
    /// In bytes.
    public var size: UInt64

    /// Names bytes, which may lie in no window: ``WorkerWindows/address(of:)`` finds out.
    public init(window: UInt32, offset: UInt64, size: UInt64) {
        self.window = window
        self.offset = offset
        self.size = size
    }
}

extension PayloadWriter {
    /// In 20 bytes.
    public mutating func put(_ piece: MemoryPiece) {
        put(piece.window)
        put(piece.offset)
        put(piece.size)
    }
}

extension PayloadReader {
    /// What `put(_:)` wrote of a piece.
    public mutating func piece() -> MemoryPiece { MemoryPiece(window: uint32(), offset: uint64(), size: uint64()) }
}

/// What a device process says of its windows, besides the library's commands and among them.
enum WindowCommand: WorkerMessage, Equatable {
    /// The next descriptor on the socket, which is there already, is memory that ``MemoryPiece``s will lie in.
    case map(window: UInt32, offset: UInt64, size: UInt64)
    /// Answered when the worker doesn't use that memory any more.
    case unmap(window: UInt32)

    private static let mapKind: UInt32 = 1 << 31
    private static let unmapKind: UInt32 = 1 << 31 | 1

    func encode(into payload: inout PayloadWriter) -> UInt32 {
        switch self {
        case .map(let window, let offset, let size):
            payload.put(window)
            payload.put(offset)
            payload.put(size)
            return Self.mapKind
        case .unmap(let window):
            payload.put(window)
            return Self.unmapKind
        }
    }

    init?(kind: UInt32, payload: inout PayloadReader) {
        switch kind {
        case Self.mapKind: self = .map(window: payload.uint32(), offset: payload.uint64(), size: payload.uint64())
        case Self.unmapKind: self = .unmap(window: payload.uint32())
        default: return nil
        }
    }
}

/// The answer to a ``WindowCommand``.
struct WindowReply: WorkerMessage {
    private static let done: UInt32 = 1 << 31

    init() {}

    func encode(into payload: inout PayloadWriter) -> UInt32 { Self.done }

    init?(kind: UInt32, payload: inout PayloadReader) {
        guard kind == Self.done else { return nil }
    }
}
