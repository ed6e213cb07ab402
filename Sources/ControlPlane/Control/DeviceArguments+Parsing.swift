import Linux
import PCI

extension DeviceArguments {
    /// What is wrong with a command line, in a sentence. Whoever starts the process has checked most of it, so it is no more than that.
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
        var slot = SlotWords()
        while let word = reader.next() {
            guard word.hasPrefix("-") else {
                guard !word.isEmpty else { throw Problem("'' is not understood.") }
                try end(&slot)
                functions.append(Function(word, socket: ""))
                reader.beginFunction()
                continue
            }
            switch try reader.option(word, isBehindType: !functions.isEmpty) {
            case .socket: last.socket = try reader.value()
            case .domain: slot.domain = try reader.number(in: 1...Self.lastDomain, "the number of a domain, from 1 on")
            case .slot: slot.address = try reader.functionAddress()
            case .option: last.options.append(try reader.value())
            case .control: last.control = try reader.value()
            case .socketDescriptor: last.socketDescriptor = try reader.descriptor()
            case .controlDescriptor: last.controlDescriptor = try reader.descriptor()
            case .restore: try begin(with: .file(reader.value()))
            case .stateDescriptor: try begin(with: .descriptor(reader.descriptor()))
            case .name: last.name = try reader.value()
            case .start: startDescriptor = try reader.descriptor()
            case .mode: mode = try reader.mode()
            case .poll: isPolling = true
            case .allowUser: allow(\.users, try reader.number(in: 0...UInt32.max - 1, "a number"))
            case .allowGroup: allow(\.groups, try reader.number(in: 0...UInt32.max - 1, "a number"))
            case .user: user = try reader.number(in: Self.identities, "a user's number, other than root's")
            case .group: group = try reader.number(in: Self.identities, "a group's number, other than root's")
            case .sandbox: isSandboxed = true
            case .memory:
                memory = try reader.number(
                    in: Self.leastMemory...Self.mostMemory, "a number of bytes, from \(Self.leastMemory) on")
            case .stay: stays = true
            }
        }
        try end(&slot)
        guard (user == nil) == (group == nil) else {
            throw Problem("--uid and --gid belong together; give both or none.")
        }
        if let user, let group { identity = Identity(user: user, group: group) }
        try check()
    }

    /// The function whose options are being read. The reader has made sure that there is one.
    private var last: Function {
        get { functions[functions.count - 1] }
        set { functions[functions.count - 1] = newValue }
    }

    /// What of a domain's slot is said of one function.
    private struct SlotWords {
        var domain: UInt16?
        var address: FunctionAddress?
    }

    /// All of a function's options are read.
    private mutating func end(_ slot: inout SlotWords) throws(Problem) {
        guard (slot.domain == nil) == (slot.address == nil) else {
            throw Problem("--xen and --slot belong together; give both or none.")
        }
        if let domain = slot.domain, let address = slot.address {
            last.slot = DomainSlot(domain: domain, address: address)
        }
        slot = SlotWords()
    }

    private mutating func begin(with state: State) throws(Problem) {
        guard last.state == nil else { throw Problem("--restore and --state-fd both give a state; give one.") }
        last.state = state
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
        if functions.allSatisfy({ $0.slot != nil }) { try checkThatNoClientsAreMeant() }
        guard !stays || functions.contains(where: { $0.slot != nil }) else {
            throw Problem("--stay is about the end of a domain, and no function is in a domain's slot.")
        }
        var paths: Set<String> = []
        for function in functions {
            try function.checkPlace()
            let sockets = function.slot == nil ? [function.socket, function.controlPath] : [function.controlPath]
            for path in sockets where !paths.insert(path).inserted {
                throw Problem("'\(path)' is the path of two sockets.")
            }
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

    /// DOMID_FIRST_RESERVED is behind it.
    private static let lastDomain: UInt16 = 0x7fef
    /// Root is nobody to become, and the highest number means "no change" to the kernel.
    private static let identities = UInt32(1)...(UInt32.max - 1)
    /// Less than this doesn't hold a device and a client's messages.
    private static let leastMemory: UInt64 = 32 << 20
    /// What a process can address.
    private static let mostMemory: UInt64 = 1 << 47
}

extension DeviceArguments.Function {
    /// Whether its accesses have one way to come by.
    fileprivate func checkPlace() throws(DeviceArguments.Problem) {
        guard slot != nil else {
            guard !socket.isEmpty else { throw .init("--socket PATH of '\(type)' is missing.") }
            return
        }
        guard socket.isEmpty, socketDescriptor == nil else {
            throw .init("'\(type)' is in a domain's slot, and has no socket for clients.")
        }
        guard control != nil else { throw .init("--control PATH of '\(type)' is missing.") }
    }
}

/// The words of a command line, one after the other.
private struct WordReader<Words: IteratorProtocol> where Words.Element == String {
    typealias Problem = DeviceArguments.Problem

    private var rest: Words
    /// The option whose value comes next.
    private var option = ""
    /// Those that were there, and may not come again.
    private var given: Set<DeviceArguments.Option> = []

    init<Source: Sequence>(_ words: Source) where Source.Iterator == Words {
        rest = words.makeIterator()
    }

    mutating func next() -> String? { rest.next() }

    /// Another function may have all of a function's options again.
    mutating func beginFunction() {
        given = given.filter { !$0.isOfFunction }
    }

    mutating func option(_ word: String, isBehindType: Bool) throws(Problem) -> DeviceArguments.Option {
        guard let option = DeviceArguments.Option(rawValue: word) else {
            throw Problem("'\(word)' is not understood.")
        }
        guard isBehindType || !option.isOfFunction else {
            throw Problem("\(word) is an option of a device, and stands behind the device's type.")
        }
        guard option.mayRepeat || given.insert(option).inserted else {
            throw Problem("\(word) is given twice; give it once.")
        }
        self.option = word
        return option
    }

    mutating func value() throws(Problem) -> String {
        guard let value = rest.next() else { throw Problem("\(option) needs a value.") }
        return value
    }

    mutating func number<Number: FixedWidthInteger>(
        in range: ClosedRange<Number>, _ meaning: String
    ) throws(Problem) -> Number {
        let text = try value()
        guard let number = Number(text), range.contains(number) else {
            throw Problem("\(option) is '\(text)' but must be \(meaning).")
        }
        return number
    }

    mutating func descriptor() throws(Problem) -> Int32 {
        try number(in: 3...Int32.max, "the number of an inherited descriptor, from 3 on")
    }

    mutating func functionAddress() throws(Problem) -> FunctionAddress {
        let text = try value()
        guard let address = FunctionAddress(text) else {
            throw Problem("\(option) is '\(text)' but must be BB:DD.F, such as 00:05.0.")
        }
        return address
    }

    mutating func mode() throws(Problem) -> UInt32 {
        let text = try value()
        guard let mode = DeviceArguments.mode(octal: text) else {
            throw Problem("\(option) is '\(text)' but must be octal, such as 0660.")
        }
        return mode
    }
}
