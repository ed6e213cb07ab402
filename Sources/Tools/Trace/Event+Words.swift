import Tap

extension Event.Kind {
    /// What it is called in a trace, in its JSON and in filters.
    public var word: String {
        switch self {
        case .read: "read"
        case .write: "write"
        case .doorbell: "doorbell"
        case .memoryRead: "dma-read"
        case .memoryWrite: "dma-write"
        case .memoryFault: "dma-fault"
        case .message: "message"
        case .pin: "pin"
        case .look: "look"
        case .reset: "reset"
        case .running: "running"
        case .restored: "restored"
        case .mapped: "map"
        case .unmapped: "unmap"
        case .unmappedAll: "unmap-all"
        case .quota: "quota"
        case .monitor: "monitor"
        case .connected: "connected"
        case .disconnected: "disconnected"
        case .received: "received"
        case .sent: "sent"
        case .event: "event"
        case .clock: "clock"
        case .random: "random"
        case .client: "client"
        case .command: "command"
        case .request: "request"
        case .completion: "completion"
        case .altered: "altered"
        case .pending: "pending"
        }
    }
}

extension Way {
    /// What it is called in a trace, in its JSON and in filters.
    public var word: String {
        switch self {
        case .call: "call"
        case .message: "message"
        case .ring: "ring"
        case .ioregion: "ioregion"
        case .request: "request"
        }
    }
}

extension Event {
    public var isAccess: Bool { kind.isAccess }
}

/// What events of a kind have.
extension Event.Kind {
    var isAccess: Bool { self == .read || self == .write }
    var isMemoryAccess: Bool { self == .memoryRead || self == .memoryWrite || self == .memoryFault }
    var hasRegion: Bool { isAccess || self == .doorbell }
    var hasQueue: Bool { self == .request || self == .completion }
    var hasCommand: Bool { hasQueue || self == .command }

    var hasName: Bool {
        switch self {
        case .look, .connected, .disconnected, .received, .sent, .event, .command: true
        default: false
        }
    }

    /// Whether ``Event/offset`` is one, or an address.
    var hasOffset: Bool {
        switch self {
        case .read, .write, .doorbell, .memoryRead, .memoryWrite, .memoryFault, .mapped, .unmapped, .look: true
        default: false
        }
    }

    /// Whether ``Event/value`` is what passed.
    var hasValue: Bool {
        switch self {
        case .read, .write, .doorbell, .memoryRead, .memoryWrite, .look, .pin, .running, .received, .sent, .clock,
            .random, .client, .command, .request, .completion, .pending:
            true
        default: false
        }
    }
}
