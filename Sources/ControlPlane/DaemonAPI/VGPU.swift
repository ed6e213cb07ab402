import JSON

/// A vGPU as the daemon shows it.
public struct VGPU: Codable, Equatable, Sendable {
    public var uuid: String
    public var parent: String
    public var type: String
    /// `stopped`, `running`, `restarting` or `failed`.
    public var state: String
    /// Whether it outlasts its end.
    public var defined: Bool
    /// Whether it is started when the host boots.
    public var autostart: Bool
    public var attributes: [String: String]
    /// Who may be its client; absent: whoever runs the daemon.
    public var owner: Owner?
    /// How often its device process was replaced since it was started.
    public var restarts: Int
    /// The number of the start since which it runs. No other start of any vGPU has it; absent unless it is active.
    public var generation: Int?
    /// Where its client connects; absent unless it is active, and in no domain.
    public var socket: String?
    /// The Xen domain that has it; absent unless one has.
    public var domain: Domain?
    /// Its device process; absent unless there is one.
    public var pid: Int32?
    /// How much memory a Xen domain gets beside its own for what its guest maps of it, in bytes; absent where its type
    /// or parent is gone.
    public var mappedMemory: Int?

    public init(
        uuid: String, parent: String, type: String, state: String, defined: Bool, autostart: Bool,
        attributes: [String: String], owner: Owner?, restarts: Int, generation: Int?, socket: String?, domain: Domain?,
        pid: Int32?, mappedMemory: Int?
    ) {
        self.uuid = uuid
        self.parent = parent
        self.type = type
        self.state = state
        self.defined = defined
        self.autostart = autostart
        self.attributes = attributes
        self.owner = owner
        self.restarts = restarts
        self.generation = generation
        self.socket = socket
        self.domain = domain
        self.pid = pid
        self.mappedMemory = mappedMemory
    }

    /// A slot of a Xen domain.
    public struct Domain: Codable, Equatable, Sendable {
        public var number: UInt16
        /// As `00:10.0`.
        public var slot: String

        public init(number: UInt16, slot: String) {
            self.number = number
            self.slot = slot
        }
    }

    /// A user, a group, or both, by number.
    public struct Owner: Codable, Equatable, Sendable {
        public var user: UInt32?
        public var group: UInt32?

        public init(user: UInt32?, group: UInt32?) {
            self.user = user
            self.group = group
        }

        public static let members = ["user", "group"]
    }
}

/// What makes a vGPU: the body of `POST /v1/vgpus`.
public struct VGPUDefinition: Codable, Equatable, Sendable {
    /// Absent: a new, random one.
    public var uuid: String?
    public var parent: String
    public var type: String
    public var attributes: [String: String]?
    public var autostart: Bool?
    public var owner: VGPU.Owner?
    /// Whether it is started at once, and gone when it stops.
    public var transient: Bool?

    public init(
        uuid: String? = nil, parent: String, type: String, attributes: [String: String]? = nil,
        autostart: Bool? = nil, owner: VGPU.Owner? = nil, transient: Bool? = nil
    ) {
        self.uuid = uuid
        self.parent = parent
        self.type = type
        self.attributes = attributes
        self.autostart = autostart
        self.owner = owner
        self.transient = transient
    }

    public static let members = ["uuid", "parent", "type", "attributes", "autostart", "owner", "transient"]
}

/// What changes of a vGPU: the body of `PATCH /v1/vgpus/UUID`, a JSON Merge Patch. RFC 7396
public struct VGPUChange: Codable, Equatable, Sendable {
    public var type: String?
    public var autostart: Bool?
    /// Those of the same name are replaced; null removes one.
    public var attributes: [String: String?]?
    public var owner: VGPU.Owner?

    public init(
        type: String? = nil, autostart: Bool? = nil, attributes: [String: String?]? = nil, owner: VGPU.Owner? = nil
    ) {
        self.type = type
        self.autostart = autostart
        self.attributes = attributes
        self.owner = owner
    }

    public static let members = ["type", "autostart", "attributes", "owner"]
}

/// Which Xen domain a vGPU is to be in: the body of `POST /v1/vgpus/UUID/attach`.
public struct VGPUAttachment: Codable, Equatable, Sendable {
    /// The domain's number.
    public var domain: UInt16
    /// As `00:10.0`. Absent: the first from there on that no other vGPU has.
    public var slot: String?

    public init(domain: UInt16, slot: String? = nil) {
        self.domain = domain
        self.slot = slot
    }

    public static let members = ["domain", "slot"]
}

/// The answer of `GET /v1/vgpus`.
public struct VGPUList: Codable, Equatable, Sendable {
    /// In the order of their definition.
    public var vgpus: [VGPU]

    public init(vgpus: [VGPU]) {
        self.vgpus = vgpus
    }
}
