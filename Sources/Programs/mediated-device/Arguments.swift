import Glibc
import Linux

/// What one device process is to do. `mediated run` and the daemon have checked most of it; this program is
/// small, so it says no more than what is wrong.
struct Arguments {
    static let usage = """
        usage: mediated-device TYPE --socket PATH [--option KEY=VALUE]... [--control PATH]
                               [--restore FILE | --state-fd N] [--mode OCTAL] [--poll] [--name NAME]
                               [--allow-user UID]... [--allow-group GID]...
                               [--socket-fd N] [--control-fd N] [--start-fd N]
                               [--uid N --gid N] [--sandbox] [--memory BYTES]
        """

    var type = ""
    var socket = ""
    /// Where the control socket is; beside the socket unless given.
    var control: String?
    /// Sockets that listen at these paths already, inherited from whoever started the process.
    var socketDescriptor: Int32?
    var controlDescriptor: Int32?
    var options: [String] = []
    /// A saved state to begin with: a file, or an inherited descriptor.
    var restore: String?
    var stateDescriptor: Int32?
    /// The read end of a pipe that says whether to go on.
    var startDescriptor: Int32?
    /// Permissions of both sockets, where the process makes them.
    var mode: UInt32 = 0o600
    var isPolling = false
    /// What the device is called, in the log and to whoever asks.
    var name: String?
    /// Who may be a client; nil: whoever may open the socket.
    var allowedPeers: AllowedPeers?
    /// Whom to become.
    var identity: (user: UInt32, group: UInt32)?
    /// Whether to confine the process before it serves.
    var isSandboxed = false
    /// How much private memory to use, in bytes.
    var memory: UInt64?

    struct Problem: Error {
        let description: String
    }

    init(_ words: some Sequence<String>) throws(Problem) {
        var rest = words.makeIterator()
        func value(of option: String) throws(Problem) -> String {
            guard let value = rest.next() else { throw Problem(description: "\(option) needs a value.") }
            return value
        }
        func number<Number: FixedWidthInteger>(
            of option: String, in range: ClosedRange<Number>, _ meaning: String
        ) throws(Problem) -> Number {
            let text = try value(of: option)
            guard let number = Number(text), range.contains(number) else {
                throw Problem(description: "\(option) is '\(text)' but must be \(meaning).")
            }
            return number
        }
        var inherited: Set<Int32> = []
        func descriptor(of option: String) throws(Problem) -> Int32 {
            let number = try number(of: option, in: 3...Int32.max, "the number of an inherited descriptor, from 3 on")
            // No program that the device starts gets it, too.
            guard fcntl(number, F_SETFD, FD_CLOEXEC) >= 0 else {
                throw Problem(description: "\(option) is \(number), but no such descriptor was inherited.")
            }
            guard inherited.insert(number).inserted else {
                throw Problem(description: "\(option) is \(number), but that descriptor is given already.")
            }
            return number
        }
        // Root is nobody to become, and the highest number means "no change" to the kernel.
        let identities = UInt32(1)...(UInt32.max - 1)
        var (user, group): (UInt32?, UInt32?)
        while let word = rest.next() {
            switch word {
            case "--socket": socket = try value(of: word)
            case "--control": control = try value(of: word)
            case "--socket-fd": socketDescriptor = try descriptor(of: word)
            case "--control-fd": controlDescriptor = try descriptor(of: word)
            case "--state-fd": stateDescriptor = try descriptor(of: word)
            case "--start-fd": startDescriptor = try descriptor(of: word)
            case "--option": options.append(try value(of: word))
            case "--restore": restore = try value(of: word)
            case "--mode":
                let text = try value(of: word)
                guard let number = UInt32(text, radix: 8), number <= 0o777 else {
                    throw Problem(description: "--mode is '\(text)' but must be octal, such as 0660.")
                }
                mode = number
            case "--poll": isPolling = true
            case "--name": name = try value(of: word)
            case "--allow-user": allow(\.users, try number(of: word, in: 0...UInt32.max - 1, "a number"))
            case "--allow-group": allow(\.groups, try number(of: word, in: 0...UInt32.max - 1, "a number"))
            case "--uid": user = try number(of: word, in: identities, "a user's number, other than root's")
            case "--gid": group = try number(of: word, in: identities, "a group's number, other than root's")
            case "--sandbox": isSandboxed = true
            case "--memory":
                memory = try number(
                    of: word, in: Self.leastMemory...Self.mostMemory, "a number of bytes, from \(Self.leastMemory) on")
            default:
                guard !word.hasPrefix("-"), type.isEmpty else {
                    throw Problem(description: "'\(word)' is not understood.")
                }
                type = word
            }
        }
        guard !type.isEmpty else { throw Problem(description: "The device's type is missing.") }
        guard !socket.isEmpty else { throw Problem(description: "--socket PATH is missing.") }
        guard restore == nil || stateDescriptor == nil else {
            throw Problem(description: "--restore and --state-fd both give a state; give one.")
        }
        guard (user == nil) == (group == nil) else {
            throw Problem(description: "--uid and --gid belong together; give both or none.")
        }
        if let user, let group { identity = (user, group) }
    }

    private mutating func allow(_ kind: WritableKeyPath<AllowedPeers, Set<UInt32>>, _ number: UInt32) {
        allowedPeers = allowedPeers ?? AllowedPeers()
        allowedPeers?[keyPath: kind].insert(number)
    }

    /// Less than this doesn't hold a device and a client's messages.
    private static let leastMemory: UInt64 = 32 << 20
    /// What a process can address.
    private static let mostMemory: UInt64 = 1 << 47
}
