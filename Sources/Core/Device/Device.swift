import PCI

/// What a vendor writes: one PCI function's identity, registers and state. Everything that all
/// functions share (configuration space, BAR decoding, MSI and MSI-X, the protocol, the guest's memory)
/// is the shell's work, see ``Function``.
///
/// Every method runs on the device's one thread. The caller has checked that an access lies inside its BAR
/// and is naturally aligned: a register access cannot fail, as on a bus. What a guest writes is hostile
/// all the same.
public protocol Device: Stateful, AnyObject {
    /// All that a device needs to go on as if nothing had happened, but for the memory behind its
    /// mapped BAR areas and ``MemoryKeepingDevice/memory``, which the shell saves. Complete at the end of every method.
    associatedtype State: Codable & Sendable

    /// Name, description and options, for `mediated types` and `mediated run`.
    static var type: DeviceType { get }

    /// Makes a device in its power-on state.
    ///
    /// - Parameters:
    ///   - options: checked against the options that ``type`` declares.
    ///   - host: lives as long as the device.
    /// - Throws: ``OptionError`` for values that don't fit together, `Errno` when the system refuses
    ///   memory or descriptors.
    init(options: DeviceOptions, host: Host) throws

    var identity: PCIIdentity { get }
    /// The names of what somebody is at the other end of now, such as a serial line: as passages have them.
    var connected: [String] { get }
    /// What it keeps for whoever comes to the other end of what has the name, such as the last that was sent over a serial
    /// line with nobody there. Its state has nothing of it.
    var kept: [String: [UInt8]] { get set }
    /// In the order of their index. What is mapped may grow and shrink at its end while the device runs, which the next
    /// client finds; nothing else changes.
    var bars: [BAR] { get }
    /// None unless declared.
    var capabilities: [Capability] { get }
    /// The INTx pin; none unless declared.
    var interruptPin: InterruptPin? { get }
    /// The image behind the expansion ROM BAR; none unless given.
    var rom: [UInt8]? { get }
    /// Who has what only some devices have: ``DisplayDevice``, ``LimitedDevice``, ``MonitorDevice``,
    /// ``MemoryKeepingDevice``. The device itself, unless it stands before another; always the same objects, which the
    /// device keeps.
    var parts: [AnyObject] { get }

    /// The value of `width` bytes at `offset` of BAR `bar`, in the low bits. Mapped parts and MSI-X
    /// tables are never asked for.
    func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64

    /// Writes the low `width` bytes of `value`. Doorbells come by ``ring(_:bar:value:)`` instead.
    func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64)

    /// A doorbell was rung, by whatever way. Several rings may arrive as one.
    ///
    /// - Parameters:
    ///   - bar: the BAR that declares it.
    ///   - value: what was written last, where ``Doorbell/keepsValue`` says so; 0 for any other.
    func ring(_ doorbell: Doorbell, bar: Int, value: UInt64)

    /// The device is to stand still, or to go on: while it stands still it takes nothing from outside (a
    /// line, a timer) and touches neither the guest's memory nor its interrupts.
    func setRunning(_ running: Bool)

    /// Back to the power-on state, with INTx deasserted. Memory behind mapped areas keeps its content, as
    /// on a function-level reset.
    func reset()

    /// Refuses while the device has something that no state can hold. Nothing does unless it says so.
    ///
    /// - Throws: ``StateError`` with a sentence that says what, and what to do.
    func requireSavable() throws(StateError)

    /// The state now.
    var state: State { get }

    /// Goes on from a state that a device of this type, with the same options, had.
    ///
    /// What was saved of the memory is there already.
    ///
    /// - Throws: ``StateError`` when the values can't be a state of this device; it is
    ///   unchanged then.
    func restore(_ state: State) throws(StateError)
}

extension Device {
    public var capabilities: [Capability] { [] }
    public var interruptPin: InterruptPin? { nil }
    public var rom: [UInt8]? { nil }
    public var parts: [AnyObject] { [self] }
    public var connected: [String] { [] }
    public var kept: [String: [UInt8]] {
        get { [:] }
        set {}
    }
    public func ring(_ doorbell: Doorbell, bar: Int, value: UInt64) {}
    public func setRunning(_ running: Bool) {}
    public func requireSavable() throws(StateError) {}
}

/// How many bytes one register access moves.
public enum AccessWidth: Int, Sendable {
    case byte = 1
    case word = 2
    case dword = 4
    case qword = 8
}

/// A saved state that doesn't fit the device it is meant for.
public struct StateError: Error, CustomStringConvertible {
    /// A sentence with the value and what would be right.
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
