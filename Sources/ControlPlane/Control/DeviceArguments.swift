import Linux
import PCI
import XenSlot

/// What a device process is told on its command line: whoever starts one writes it by ``words``, and the process reads
/// it by ``init(words:)``.
///
/// Each type begins a function, and the options behind it are that function's, up to the next type. What concerns the
/// whole process may stand anywhere. Descriptors are numbers in the process that is started.
public struct DeviceArguments: Equatable, Sendable {
    /// The functions that the process serves, at least one: a display and its keyboard, say.
    public var functions: [Function]
    /// The read end of a pipe that says whether to go on.
    public var startDescriptor: Int32?
    /// Permissions of all sockets, where the process makes them.
    public var mode: UInt32 = defaultMode
    public var isPolling = false
    /// Who may be a client; nil: whoever may open the socket.
    public var allowedPeers: AllowedPeers?
    /// Whom to become.
    public var identity: Identity?
    /// Whether to confine the process before it serves.
    public var isSandboxed = false
    /// How much private memory to use, in bytes.
    public var memory: UInt64?
    /// Whether functions stay when their domain has ended, until the process is told to stop. Otherwise the process
    /// ends with the domain.
    public var stays = false
    /// Whether the last events of each function are always kept, for `mediated trace --recorded`.
    public var isRecording = false

    public init(_ functions: Function...) {
        self.functions = functions
    }

    /// One function, and where it is reached.
    public struct Function: Equatable, Sendable {
        public var type: String
        /// Where its accesses come from.
        public let place: Place
        /// `KEY=VALUE` each.
        public var options: [String] = []
        /// Where the control socket is.
        public var control: String
        /// Sockets that listen at these paths already, inherited from whoever started the process.
        public var socketDescriptor: Int32?
        public var controlDescriptor: Int32?
        /// What to begin with; nil: as after power-on.
        public var state: State?
        /// What it is called, in the log and to whoever asks.
        public var name: String?
        /// Who the function is, where it is in a domain's slot: at most ``maximumIdentity`` bytes. A process goes on
        /// with what a killed one has left in the slot only if both have the same, or both none.
        public var identity: String?

        /// - Parameter socket: where it listens for clients. The control socket is beside that one, unless it is put
        ///   elsewhere.
        public init(_ type: String, socket: String) {
            self.type = type
            place = .socket(socket)
            control = ControlClient.path(besides: socket)
        }

        /// - Parameter control: where the control socket is to be.
        public init(_ type: String, in slot: DomainSlot, control: String) {
            self.type = type
            place = .slot(slot)
            self.control = control
        }

        /// Where sockets are to be: for clients, if they come by one, and for control.
        public var socketPaths: [String] {
            switch place {
            case .socket(let path): [path, control]
            case .slot: [control]
            }
        }
    }

    /// Where a function's accesses come from.
    public enum Place: Equatable, Sendable, CustomStringConvertible {
        /// Clients that connect to a socket at this path.
        case socket(String)
        /// A domain, which has the function in this slot.
        case slot(DomainSlot)

        public var slot: DomainSlot? {
            if case .slot(let slot) = self { slot } else { nil }
        }

        /// For people.
        public var description: String {
            switch self {
            case .socket(let path): path
            case .slot(let slot): slot.description
            }
        }
    }

    /// Where a saved state is.
    public enum State: Equatable, Sendable {
        /// At a path.
        case file(String)
        /// In a descriptor that was inherited.
        case descriptor(Int32)
    }

    /// A user other than root, and the one group that the process has then.
    public struct Identity: Equatable, Sendable {
        public var user: UInt32
        public var group: UInt32

        public init(user: UInt32, group: UInt32) {
            self.user = user
            self.group = group
        }
    }

    /// Permissions of a socket unless others are given.
    public static let defaultMode: UInt32 = 0o600
    /// The exit status of a process that is to be in a domain that isn't there. `EX_NOHOST`, `sysexits.h`
    public static let noDomain: Int32 = 68
    /// As many as a PCI device has.
    public static let maximumFunctions = 8
    /// How long the identity of a function may be, in bytes of UTF-8.
    public static let maximumIdentity = 48

    /// Every descriptor that is inherited, with the option that names it.
    public var inherited: [(option: Option, descriptor: Int32)] {
        var all: [(Option, Int32?)] = [(.start, startDescriptor)]
        for function in functions {
            all += [(.socketDescriptor, function.socketDescriptor), (.controlDescriptor, function.controlDescriptor)]
            if case .descriptor(let state) = function.state { all.append((.stateDescriptor, state)) }
        }
        return all.compactMap { option, descriptor in descriptor.map { (option, $0) } }
    }

    // MARK: The words

    /// What every word that begins with a dash says.
    public enum Option: String, Sendable {
        case socket = "--socket"
        case domain = "--xen"
        case slot = "--slot"
        case option = "--option"
        case control = "--control"
        case socketDescriptor = "--socket-fd"
        case controlDescriptor = "--control-fd"
        case restore = "--restore"
        case stateDescriptor = "--state-fd"
        case name = "--name"
        case identity = "--identity"
        case start = "--start-fd"
        case mode = "--mode"
        case poll = "--poll"
        case allowUser = "--allow-user"
        case allowGroup = "--allow-group"
        case user = "--uid"
        case group = "--gid"
        case recorder = "--recorder"
        case sandbox = "--sandbox"
        case memory = "--memory"
        case stay = "--stay"

        /// Whether it is about the function whose type stands before it.
        var isOfFunction: Bool {
            switch self {
            case .socket, .domain, .slot, .option, .control, .socketDescriptor, .controlDescriptor, .restore,
                .stateDescriptor, .name, .identity:
                true
            case .start, .mode, .poll, .allowUser, .allowGroup, .user, .group, .sandbox, .memory, .stay, .recorder:
                false
            }
        }

        var mayRepeat: Bool { self == .option || self == .allowUser || self == .allowGroup }
    }

    public static let usage = """
        usage: mediated-device FUNCTION... [--mode OCTAL] [--poll] [--allow-user UID]... [--allow-group GID]...
                               [--start-fd N] [--uid N --gid N] [--sandbox] [--memory BYTES] [--stay] [--recorder]
        FUNCTION: TYPE PLACE [--option KEY=VALUE]... [--name NAME] [--restore FILE | --state-fd N] [--control-fd N]
        PLACE:    --socket PATH [--socket-fd N] [--control PATH]
                  --xen DOMAIN --slot BB:DD.F --control PATH [--identity TEXT]
               mediated-device --release-slot --xen DOMAIN --slot BB:DD.F [--uid N --gid N] [--sandbox]
        """

    /// The command line, without the program's name.
    public var words: [String] {
        var words = functions.flatMap(\.words)
        words.append(.start, startDescriptor)
        if mode != Self.defaultMode { words.append(.mode, "0" + String(mode, radix: 8)) }
        if isPolling { words.append(Option.poll.rawValue) }
        if let allowedPeers {
            // Root is a client in any case: said where nobody else is, since to say nothing lets everybody in.
            for user in allowedPeers == AllowedPeers() ? [0] : allowedPeers.users.sorted() {
                words.append(.allowUser, user)
            }
            for group in allowedPeers.groups.sorted() { words.append(.allowGroup, group) }
        }
        words.append(.user, identity?.user)
        words.append(.group, identity?.group)
        if isSandboxed { words.append(Option.sandbox.rawValue) }
        words.append(.memory, memory)
        if stays { words.append(Option.stay.rawValue) }
        if isRecording { words.append(Option.recorder.rawValue) }
        return words
    }
}

extension DeviceArguments.Function {
    fileprivate var words: [String] {
        var words = [type]
        switch place {
        case .slot(let slot):
            words.append(.domain, slot.domain)
            words.append(.slot, slot.address)
            words.append(.control, control)
        case .socket(let path):
            words.append(.socket, path)
            if control != ControlClient.path(besides: path) { words.append(.control, control) }
        }
        for option in options { words.append(.option, option) }
        words.append(.socketDescriptor, socketDescriptor)
        words.append(.controlDescriptor, controlDescriptor)
        switch state {
        case .file(let path): words.append(.restore, path)
        case .descriptor(let number): words.append(.stateDescriptor, number)
        case nil: break
        }
        words.append(.name, name)
        words.append(.identity, identity)
        return words
    }
}

extension [String] {
    mutating func append(_ option: DeviceArguments.Option, _ value: (some CustomStringConvertible)?) {
        if let value { self += [option.rawValue, value.description] }
    }
}
