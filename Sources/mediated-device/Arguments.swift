import VFIOUser

/// What one device process is to do. `mediated run` and the daemon have checked most of it; this program is
/// small, so it says no more than what is wrong.
struct Arguments {
    static let usage = """
        usage: mediated-device TYPE --socket PATH [--option KEY=VALUE]... [--control PATH]
                               [--restore FILE] [--mode OCTAL] [--poll] [--name NAME]
                               [--allow-user UID]... [--allow-group GID]...
        """

    var type = ""
    var socket = ""
    /// Where the control socket is; beside the socket unless given.
    var control: String?
    var options: [String] = []
    /// A saved state to begin with.
    var restore: String?
    /// Permissions of both sockets.
    var mode: UInt32 = 0o600
    var isPolling = false
    /// What the device is called, in the log and to whoever asks.
    var name: String?
    /// Who may be a client; nil: whoever may open the socket.
    var allowedPeers: AllowedPeers?

    struct Problem: Error {
        let description: String
    }

    init(_ words: some Sequence<String>) throws(Problem) {
        var rest = words.makeIterator()
        func value(of option: String) throws(Problem) -> String {
            guard let value = rest.next() else { throw Problem(description: "\(option) needs a value.") }
            return value
        }
        func number(of option: String) throws(Problem) -> UInt32 {
            let text = try value(of: option)
            guard let number = UInt32(text) else {
                throw Problem(description: "\(option) is '\(text)' but must be a number.")
            }
            return number
        }
        while let word = rest.next() {
            switch word {
            case "--socket": socket = try value(of: word)
            case "--control": control = try value(of: word)
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
            case "--allow-user": allow(\.users, try number(of: word))
            case "--allow-group": allow(\.groups, try number(of: word))
            default:
                guard !word.hasPrefix("-"), type.isEmpty else {
                    throw Problem(description: "'\(word)' is not understood.")
                }
                type = word
            }
        }
        guard !type.isEmpty else { throw Problem(description: "The device's type is missing.") }
        guard !socket.isEmpty else { throw Problem(description: "--socket PATH is missing.") }
    }

    private mutating func allow(_ kind: WritableKeyPath<AllowedPeers, Set<UInt32>>, _ number: UInt32) {
        allowedPeers = allowedPeers ?? AllowedPeers()
        allowedPeers?[keyPath: kind].insert(number)
    }
}
