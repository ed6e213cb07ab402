/// The agent of a domain's guest, on the domain's console, as domain 0 reaches it. Lab/README.md
///
/// Each thing said to it is one command of domain 0's, which has the console for so long, and no longer.
public struct DomainConsole {
    private let machine: XenMachine
    /// Where Xen's store has the terminal's path.
    private let key: String

    /// - Parameter terminal: where Xen's store has the terminal, below the domain: `console/tty` or `serial/0/tty`.
    public init(of domain: Int, in machine: XenMachine, at terminal: String = "console/tty") {
        self.machine = machine
        key = "/local/domain/\(domain)/\(terminal)"
    }

    /// Waits until the agent takes commands.
    public func awaitReady() throws {
        try machine.command(Self.reading(try machine.stored(key), until: "::ready::", status: "0"))
    }

    /// Runs a shell command in the guest.
    @discardableResult
    public func run(_ command: String) throws -> Agent.Outcome {
        let terminal = try machine.stored(key)
        let outcome = try machine.run(
            "\(Self.sending(command)) >\(terminal); "
                + Self.reading(terminal, until: "::exit\\ *", status: "$(echo \"$line\" | tr -dc 0-9)"))
        guard outcome.status != Self.isGone else { throw GuestError("The console at \(key) has ended.") }
        return outcome
    }

    /// Begins a command whose end nobody waits for.
    public func start(_ command: String) throws {
        try machine.command("\(Self.sending(command)) >\(try machine.stored(key))")
    }

    /// What domain 0's command ends with when the terminal does.
    private static let isGone = 254

    private static func sending(_ command: String) -> String {
        "printf '%s\\n' '\(command.replacing("'", with: "'\\''"))'"
    }

    /// Says what comes, line by line, up to one that fits a shell's pattern.
    private static func reading(_ terminal: String, until pattern: String, status: String) -> String {
        "while IFS= read -r line; do line=${line%\"$(printf '\\r')\"}; case $line in \(pattern)) exit \(status) ;; esac; "
            + "printf '%s\\n' \"$line\"; done <\(terminal); exit \(isGone)"
    }
}
