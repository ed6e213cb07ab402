import PCI
import XenSlot

/// A further role of mediated-device, on its command line: it gives up what a killed process has left in a domain's
/// slot, and ends. A virtual processor that waits there gets all ones. The exit status is 0 also when nothing was
/// there.
///
/// It is for a slot for which no other process comes; one that comes sees to all of that by itself.
public struct SlotRelease: Equatable, Sendable {
    public var slot: DomainSlot
    /// Whom to become.
    public var identity: DeviceArguments.Identity?
    /// Whether to confine the process before it reads what was left.
    public var isSandboxed = false

    /// The first word of the command line.
    private static let role = "--release-slot"

    public init(_ slot: DomainSlot) {
        self.slot = slot
    }

    /// Reads a command line, without the program's name.
    ///
    /// - Returns: nil when the process has another role.
    /// - Throws: the first problem.
    public init?(words: some Sequence<String>) throws(DeviceArguments.Problem) {
        var reader = WordReader(words)
        guard reader.next() == Self.role else { return nil }
        var (domain, address): (UInt16?, FunctionAddress?)
        var (user, group): (UInt32?, UInt32?)
        var isSandboxed = false
        while let word = reader.next() {
            switch try reader.option(word, isBehindType: true) {
            case .domain: domain = try reader.domain()
            case .slot: address = try reader.functionAddress()
            case .user: user = try reader.user()
            case .group: group = try reader.group()
            case .sandbox: isSandboxed = true
            default: throw DeviceArguments.Problem("\(word) has no meaning with \(Self.role).")
            }
        }
        guard let domain, let address else {
            throw DeviceArguments.Problem("\(Self.role) needs --xen DOMAIN and --slot BB:DD.F.")
        }
        slot = DomainSlot(domain: domain, address: address)
        identity = try DeviceArguments.Identity(user, group)
        self.isSandboxed = isSandboxed
    }

    /// The command line, without the program's name.
    public var words: [String] {
        var words = [Self.role]
        words.append(.domain, slot.domain)
        words.append(.slot, slot.address)
        words.append(.user, identity?.user)
        words.append(.group, identity?.group)
        if isSandboxed { words.append(DeviceArguments.Option.sandbox.rawValue) }
        return words
    }
}
