import Device
import PCI

/// Stands before a device that isn't asked: its identity and BARs are that device's, its answers are recorded ones.
final class PlayedDevice: Device {
    static let type = DeviceType(name: "recorded", summary: "the device of a recording")

    struct State: Codable, Sendable {}

    private let original: any Device
    /// Knows the answers.
    weak var part: DevicePart?

    init(_ original: any Device) {
        self.original = original
    }

    /// A recording is needed for it, and no option tells of one.
    init(options: DeviceOptions, host: Host) throws {
        throw OptionError("A recorded device is made of a recording.")
    }

    var identity: PCIIdentity { original.identity }
    var bars: [BAR] { original.bars }
    var capabilities: [Capability] { original.capabilities }
    var interruptPin: InterruptPin? { original.interruptPin }
    var rom: [UInt8]? { original.rom }
    /// None: nobody looks at its pictures, or limits it.
    var parts: [AnyObject] { [] }

    func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 {
        part?.answer(bar, at: offset, width: width) ?? .max
    }

    // What is written and rung is compared where the tap sees it.
    func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {}

    func ring(_ doorbell: Doorbell, bar: Int, value: UInt64) { part?.goOn() }

    func reset() { part?.goOn() }

    var state: State { State() }
    func restore(_ state: State) {}
}
