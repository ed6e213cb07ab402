import Linux
import PCI
import VFIO
import VFIOUserClient

/// A vfio-user device in a guest's PCI slot: its configuration space, its BARs wherever the guest puts them, its
/// interrupts.
///
/// What the device lends stays out of the way of exits: mapped parts of BARs become memory slots, doorbells become
/// ioeventfds, interrupts irqfds. All else is forwarded, access by access. A server that leaves looks like a device
/// that was pulled out: reads give ones.
final class AttachedClient: AttachedDevice {
    let client: Client
    let machine: VirtualMachine
    /// The interrupt controllers' pin behind INTx.
    let pin: UInt32
    var bars: [PlacedBAR?] = Array(repeating: nil, count: 6)
    var interrupts = InterruptState()
    let regions: [Client.Region]
    let doorbells: [[Client.Doorbell]]
    let capabilities: DeviceCapabilities
    private var noted = Troubles()
    var troubles: [String] { noted.all }

    /// - Throws: `ClientError` when the server doesn't describe its device, ``KVMError`` for its interrupt.
    init(_ client: Client, _ machine: VirtualMachine, pin: UInt32) throws {
        self.client = client
        self.machine = machine
        self.pin = pin
        let regions = try (0..<6).map { try client.region($0) }
        // A server may know nothing of doorbells.
        doorbells = regions.indices.map {
            regions[$0].info.length == 0 ? [] : (try? client.doorbells(ofRegion: $0)) ?? []
        }
        self.regions = regions
        capabilities = try DeviceCapabilities(client)
        // As firmware does, for the guest's driver.
        try client.write(UInt8(truncatingIfNeeded: pin), region: RegionIndex.configuration, offset: 0x3c)
        try connectPin()
    }

    // MARK: Configuration space

    func readConfiguration(at register: UInt64, width: Int) -> UInt64 {
        read(RegionIndex.configuration, at: register, width: width)
    }

    func writeConfiguration(at register: UInt64, width: Int, value: UInt64) {
        write(RegionIndex.configuration, at: register, width: width, value: value)
        let range = register..<register + UInt64(width)
        let setsPower = capabilities.setsPower(range)
        if setsPower || range.lowerBound < 6 || range.overlaps(0x10..<0x28) { moveBARs() }
        if setsPower || capabilities.setsMessages(range) { connectMessages() }
    }

    /// Carries out what the guest has no way to hear the failure of.
    func attempt(_ what: String, _ body: () throws -> Void) {
        do {
            try body()
        } catch {
            noted.note(what, error)
        }
    }

    // MARK: Accesses

    func decode(_ address: UInt64, width: Int, in space: BARPlacement.Space) -> (bar: Int, offset: UInt64)? {
        bars.decode(address, width: width, in: space)
    }

    func readBAR(_ bar: Int, at offset: UInt64, width: Int) -> UInt64 {
        read(bar, at: offset, width: width)
    }

    func writeBAR(_ bar: Int, at offset: UInt64, width: Int, value: UInt64) {
        write(bar, at: offset, width: width, value: value)
        connectVectors(capabilities.vectors(at: offset, width: width, of: bar))
    }

    private func read(_ region: Int, at offset: UInt64, width: Int) -> UInt64 {
        let value: UInt64? =
            switch width {
            case 1: (try? client.read(UInt8.self, region: region, offset: offset)).map(UInt64.init)
            case 2: (try? client.read(UInt16.self, region: region, offset: offset)).map(UInt64.init)
            case 4: (try? client.read(UInt32.self, region: region, offset: offset)).map(UInt64.init)
            default: try? client.read(UInt64.self, region: region, offset: offset)
            }
        return value ?? .max
    }

    /// Writes are posted, as on PCI: whoever needs to know reads.
    private func write(_ region: Int, at offset: UInt64, width: Int, value: UInt64) {
        switch width {
        case 1: try? client.write(UInt8(truncatingIfNeeded: value), region: region, offset: offset, isPosted: true)
        case 2: try? client.write(UInt16(truncatingIfNeeded: value), region: region, offset: offset, isPosted: true)
        case 4: try? client.write(UInt32(truncatingIfNeeded: value), region: region, offset: offset, isPosted: true)
        default: try? client.write(value, region: region, offset: offset, isPosted: true)
        }
    }
}
