import Linux
import PCI
import XenSlot

extension DeviceArguments {
    /// What is wrong with a command line, in a sentence. Whoever starts the process has checked most of it, so it is no
    /// more than that.
    public struct Problem: Error, Equatable, CustomStringConvertible {
        public let description: String

        init(_ description: String) {
            self.description = description
        }
    }

    /// Reads a command line, without the program's name.
    ///
    /// - Throws: the first ``Problem``. Whether descriptors were inherited, and what is behind paths, isn't looked at.
    public init(words: some Sequence<String>) throws(Problem) {
        self.init()
        var reader = WordReader(words)
        var (user, group): (UInt32?, UInt32?)
        var function: FunctionWords?
        while let word = reader.next() {
            guard word.hasPrefix("-") else {
                guard !word.isEmpty else { throw Problem("'' is not understood.") }
                if let function { functions.append(try function.function()) }
                function = FunctionWords(word)
                reader.beginFunction()
                continue
            }
            switch try reader.option(word, isBehindType: function != nil) {
            case .socket: function?.socket = try reader.value()
            case .domain: function?.domain = try reader.domain()
            case .slot: function?.address = try reader.functionAddress()
            case .option: function?.options.append(try reader.value())
            case .control: function?.control = try reader.value()
            case .socketDescriptor: function?.socketDescriptor = try reader.descriptor()
            case .controlDescriptor: function?.controlDescriptor = try reader.descriptor()
            case .restore: try function?.begin(with: .file(reader.value()))
            case .stateDescriptor: try function?.begin(with: .descriptor(reader.descriptor()))
            case .name: function?.name = try reader.value()
            case .identity: function?.identity = try reader.identity()
            case .start: startDescriptor = try reader.descriptor()
            case .mode: mode = try reader.mode()
            case .poll: isPolling = true
            case .allowUser: allow(\.users, try reader.number(in: 0...UInt32.max - 1, "a number"))
            case .allowGroup: allow(\.groups, try reader.number(in: 0...UInt32.max - 1, "a number"))
            case .user: user = try reader.user()
            case .group: group = try reader.group()
            case .sandbox: isSandboxed = true
            case .memory:
                memory = try reader.number(
                    in: Self.leastMemory...Self.mostMemory, "a number of bytes, from \(Self.leastMemory) on")
            case .stay: stays = true
            case .recorder: isRecording = true
            }
        }
        if let function { functions.append(try function.function()) }
        identity = try Identity(user, group)
        try check()
    }

    private mutating func allow(_ kind: WritableKeyPath<AllowedPeers, Set<UInt32>>, _ number: UInt32) {
        allowedPeers = allowedPeers ?? AllowedPeers()
        allowedPeers?[keyPath: kind].insert(number)
    }

    /// Reads permissions, such as 0660; nil for what is none.
    public static func mode(octal text: String) -> UInt32? {
        UInt32(text, radix: 8).flatMap { $0 <= 0o777 ? $0 : nil }
    }

    /// What no single word tells: whether the functions go together, and all have what they need.
    public func check() throws(Problem) {
        guard !functions.isEmpty else { throw Problem("The device's type is missing.") }
        guard functions.count <= Self.maximumFunctions else {
            throw Problem("A process serves at most \(Self.maximumFunctions) functions, not \(functions.count).")
        }
        if functions.allSatisfy({ $0.place.slot != nil }) { try checkThatNoClientsAreMeant() }
        guard !stays || functions.contains(where: { $0.place.slot != nil }) else {
            throw Problem("--stay is about the end of a domain, and no function is in a domain's slot.")
        }
        var paths: Set<String> = []
        for path in functions.flatMap(\.socketPaths) where !paths.insert(path).inserted {
            throw Problem("'\(path)' is the path of two sockets.")
        }
        var descriptors: Set<Int32> = []
        for (option, descriptor) in inherited where !descriptors.insert(descriptor).inserted {
            throw Problem("\(option.rawValue) is \(descriptor), but that descriptor is given already.")
        }
    }

    /// For functions that are all in domains' slots.
    private func checkThatNoClientsAreMeant() throws(Problem) {
        guard !isPolling else {
            throw Problem("--poll is about clients of a socket, and every function is in a domain's slot.")
        }
        guard allowedPeers == nil else {
            throw Problem(
                "--allow-user and --allow-group are about clients of a socket, and every function is in a domain's slot."
            )
        }
    }

    /// Less than this doesn't hold a device and a client's messages.
    private static let leastMemory: UInt64 = 32 << 20
    /// What a process can address.
    private static let mostMemory: UInt64 = 1 << 47
}

extension DeviceArguments.Identity {
    /// - Returns: nil where neither is given.
    init?(_ user: UInt32?, _ group: UInt32?) throws(DeviceArguments.Problem) {
        guard (user == nil) == (group == nil) else {
            throw DeviceArguments.Problem("--uid and --gid belong together; give both or none.")
        }
        guard let user, let group else { return nil }
        self.init(user: user, group: group)
    }
}

/// What is said of one function, until all of it is read.
private struct FunctionWords {
    typealias Problem = DeviceArguments.Problem

    let type: String
    var socket, control, name, identity: String?
    var domain: UInt16?
    var address: FunctionAddress?
    var options: [String] = []
    var socketDescriptor, controlDescriptor: Int32?
    private var state: DeviceArguments.State?

    init(_ type: String) {
        self.type = type
    }

    mutating func begin(with state: DeviceArguments.State) throws(Problem) {
        guard self.state == nil else { throw Problem("--restore and --state-fd both give a state; give one.") }
        self.state = state
    }

    /// Whether its accesses have one way to come by.
    func function() throws(Problem) -> DeviceArguments.Function {
        var function = try placed()
        if let control { function.control = control }
        function.options = options
        function.socketDescriptor = socketDescriptor
        function.controlDescriptor = controlDescriptor
        function.state = state
        function.name = name
        function.identity = identity
        return function
    }

    private func placed() throws(Problem) -> DeviceArguments.Function {
        guard (domain == nil) == (address == nil) else {
            throw Problem("--xen and --slot belong together; give both or none.")
        }
        guard let domain, let address else {
            guard let socket, !socket.isEmpty else { throw Problem("--socket PATH of '\(type)' is missing.") }
            guard identity == nil else {
                throw Problem("--identity is about a domain's slot, and '\(type)' is in none.")
            }
            return DeviceArguments.Function(type, socket: socket)
        }
        guard socket == nil, socketDescriptor == nil else {
            throw Problem("'\(type)' is in a domain's slot, and has no socket for clients.")
        }
        guard let control else { throw Problem("--control PATH of '\(type)' is missing.") }
        return DeviceArguments.Function(
            type, in: DomainSlot(domain: domain, address: address), control: control)
    }
}
