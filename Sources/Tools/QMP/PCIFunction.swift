import JSON

/// A PCI function as the guest has it. PciDeviceInfo of query-pci
public struct PCIFunction: Equatable, Sendable {
    /// Bus, device and function number.
    public let bus: Int
    public let device: Int
    public let function: Int
    /// Whether the guest decodes one of its BARs. QEMU's PCI_BAR_UNMAPPED
    public let isEnabled: Bool
    /// What the function needs and the bridge above it lacks; nil when there is enough, or no bridge.
    public let shortage: Shortage?

    /// Memory space, in bytes.
    public struct Space: Equatable, Sendable {
        public var prefetchable = 0
        public var other = 0
    }

    /// More is needed than the bridge's windows have: the guest may be unable to give the function addresses.
    public struct Shortage: Equatable, Sendable {
        public var needed: Space
        public var available: Space
    }

    /// - Parameters:
    ///   - id: the device's identifier in QEMU.
    ///   - buses: what query-pci returns.
    /// - Returns: nil when it is on none of the buses.
    init?(id: String, in buses: [JSON]) {
        let found = buses.lazy.compactMap { Self.find(id, on: $0["devices"], behind: nil) }.first
        guard let found, let bus = found.function["bus"]?.int, let device = found.function["slot"]?.int,
            let function = found.function["function"]?.int
        else { return nil }
        (self.bus, self.device, self.function) = (bus, device, function)
        // An address of all ones is that of a BAR that isn't decoded.
        isEnabled = (found.function["regions"]?.array ?? []).contains { region in
            region["address"]?.int.map { $0 != -1 } ?? false
        }
        shortage = found.bridge.flatMap { Self.shortage(of: found.function, behind: $0) }
    }

    /// - Parameter bridge: what is known of the bus that the devices are on; nil for a root bus.
    private static func find(_ id: String, on devices: JSON?, behind bridge: JSON?) -> (function: JSON, bridge: JSON?)?
    {
        for device in devices?.array ?? [] {
            if device["qdev_id"]?.string == id { return (device, bridge) }
            let below = device["pci_bridge"]
            if let found = find(id, on: below?["devices"], behind: below?["bus"]) { return found }
        }
        return nil
    }

    private static func shortage(of function: JSON, behind bridge: JSON) -> Shortage? {
        let available = Space(
            prefetchable: size(of: bridge["prefetchable_range"]), other: size(of: bridge["memory_range"]))
        var needed = Space()
        for region in function["regions"]?.array ?? [] where region["type"]?.string == "memory" {
            let size = region["size"]?.int ?? 0
            if region["prefetch"]?.bool == true { needed.prefetchable &+= size } else { needed.other &+= size }
        }
        // What is prefetchable may lie in the other window, never the other way round.
        let isEnough =
            needed.other <= available.other
            && (needed.prefetchable <= available.prefetchable
                || needed.prefetchable <= available.other &- needed.other)
        return isEnough ? nil : Shortage(needed: needed, available: available)
    }

    /// A window whose limit lies below its base is closed. PCI-to-PCI Bridge Architecture Specification, section 3.2.5
    private static func size(of window: JSON?) -> Int {
        guard let base = window?["base"]?.int, let limit = window?["limit"]?.int, base <= limit else { return 0 }
        return limit &- base &+ 1
    }
}
