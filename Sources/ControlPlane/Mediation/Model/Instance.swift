import XenSlot

/// A vGPU: what it is to be, and what has become of it.
public struct Instance: Equatable, Sendable {
    public var id: InstanceID
    public var parent: String
    public var type: String
    public var attributes: [Attribute]
    /// Whether it is started when the host boots. mdevctl's `start`: `auto` or `manual`
    public var isAutostarted: Bool
    /// Who may be its client, besides root; nil: whoever runs the daemon.
    public var owner: Owner?
    /// Whether it outlasts its end. One that is started without a definition is gone when it stops.
    public var isDefined: Bool
    public var state: State
    /// Its device process, while there is one.
    public var process: ProcessIdentity?
    /// What it was granted when it was started, while it is active.
    public var grant: Grant?
    /// The number of its last start, which no other start of any vGPU has; 0: it was never started.
    public var generation: Int
    /// The aperture that its device has while it runs, in bytes, where it doesn't follow from its attributes: the video
    /// memory has changed since it was started.
    public var aperture: Int?
    /// The slot of a Xen domain in which it is, while it is active; nil: its client connects to its socket.
    public var slot: DomainSlot?
    /// How often its device process was replaced since it was started.
    public var restarts: Int

    public enum State: String, Codable, Sendable {
        case stopped
        case running
        /// The device process has died; the next one comes soon.
        case restarting
        /// It was given up: its device process dies again and again.
        case failed
    }

    public struct Owner: Equatable, Codable, Sendable {
        public var user: UInt32?
        public var group: UInt32?

        public init(user: UInt32?, group: UInt32?) {
            self.user = user
            self.group = group
        }
    }

    public init(
        id: InstanceID, parent: String, type: String, attributes: [Attribute] = [], isAutostarted: Bool = false,
        owner: Owner? = nil, isDefined: Bool = true
    ) {
        self.id = id
        self.parent = parent
        self.type = type
        self.attributes = attributes
        self.isAutostarted = isAutostarted
        self.owner = owner
        self.isDefined = isDefined
        state = .stopped
        generation = 0
        restarts = 0
    }

    /// Whether it takes its share of the parent. sysfs's `available_instances` goes down with it.
    public var isActive: Bool { state != .stopped && state != .failed }

    /// Gives back what it has as long as it is active.
    ///
    /// - Parameter state: what it is from here on.
    public mutating func end(_ state: State) {
        self.state = state
        process = nil
        grant = nil
        aperture = nil
        slot = nil
    }
}
