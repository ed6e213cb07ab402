import PCI
import VFIO
import VFIOUserClient

/// Where a virtio device has its registers, as its PCI capabilities tell it. VIRTIO 1.2, section 4.1.4
struct VirtioStructures {
    /// `struct virtio_pci_cap`
    struct Place {
        var bar: Int
        var offset: UInt64
    }

    let common: Place
    let device: Place
    let notify: Place
    /// How far the places of two queues' notifications are apart, in bytes.
    let notifyMultiplier: UInt64

    /// VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_PCI_CAP_DEVICE_CFG
    private enum Kind: UInt8 {
        case common = 1
        case notify = 2
        case device = 4
    }

    private static let vendorSpecific: UInt8 = 0x09
    private static let firstCapability: UInt64 = 0x34
    /// No list has more: each capability takes 4 bytes at least.
    private static let maximumCapabilities = 48

    init(_ client: Client) throws(DriverError) {
        var places: [Kind: Place] = [:]
        var multiplier: UInt64 = 0
        var next: UInt8 = try Self.load(client, at: Self.firstCapability)
        for _ in 0..<Self.maximumCapabilities where next != 0 {
            let place = UInt64(next)
            let id: UInt8 = try Self.load(client, at: place)
            let type: UInt8 = try Self.load(client, at: place + 3)
            if id == Self.vendorSpecific, let kind = Kind(rawValue: type), places[kind] == nil {
                let bar: UInt8 = try Self.load(client, at: place + 4)
                let offset: UInt32 = try Self.load(client, at: place + 8)
                places[kind] = Place(bar: Int(bar), offset: UInt64(UInt32(littleEndian: offset)))
                if kind == .notify {
                    let number: UInt32 = try Self.load(client, at: place + 16)
                    multiplier = UInt64(UInt32(littleEndian: number))
                }
            }
            next = try Self.load(client, at: place + 1)
        }
        guard let common = places[.common], let device = places[.device], let notify = places[.notify] else {
            throw .device("The device has no registers of virtio's.")
        }
        self.common = common
        self.device = device
        self.notify = notify
        notifyMultiplier = multiplier
    }

    private static func load<Value: FixedWidthInteger & BitwiseCopyable>(
        _ client: Client, at offset: UInt64
    ) throws(DriverError) -> Value {
        do throws(ClientError) {
            return try client.read(Value.self, region: RegionIndex.configuration, offset: offset)
        } catch {
            throw .client(error)
        }
    }
}
