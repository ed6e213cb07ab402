import JSON
import Linux

/// The hot-plug of vfio-user devices into a running QEMU, with the checks that QEMU doesn't make.
///
/// All of its methods throw ``HotPlugError`` for what the machine is not fit for, and ``QMPError``.
public struct HotPlug {
    private static let driver = "vfio-user-pci"
    /// Where the devices are that have an identifier.
    private static let devices = "/machine/peripheral"

    private let monitor: QMPClient

    public init(_ monitor: QMPClient) {
        self.monitor = monitor
    }

    // MARK: Attaching

    /// Checks that the machine can take a vfio-user device now: its QEMU has the driver, shares the guest's memory,
    /// and migrates nowhere.
    ///
    /// - Parameter allowsPrivateMemory: don't ask for shared memory.
    public func checkMachine(allowsPrivateMemory: Bool = false) throws {
        guard try !monitor.types(derivedFrom: Self.driver).isEmpty else {
            throw HotPlugError.noDriver(version: monitor.version)
        }
        // QEMU has no blocker for vfio-user devices: it would migrate the machine and lose the device's state.
        let migration = try monitor.execute("query-migrate")["status"]?.string ?? "none"
        guard ["none", "completed", "failed", "cancelled"].contains(migration) else {
            throw HotPlugError.migrating(status: migration)
        }
        // Its devices must be those that it had where it comes from.
        let status = try monitor.execute("query-status")["status"]?.string
        guard status != "inmigrate" else { throw HotPlugError.migrating(status: "inmigrate") }
        if !allowsPrivateMemory { try checkMemory() }
    }

    /// QEMU hands out descriptors of private memory as well, but what the guest writes never gets there.
    private func checkMemory() throws {
        let backends = try monitor.array("query-memdev")
        guard !backends.isEmpty else { throw HotPlugError.privateMemory(backend: nil) }
        for backend in backends where backend["share"]?.bool != true {
            throw HotPlugError.privateMemory(backend: backend["id"]?.string)
        }
    }

    /// Plugs in the device that a server offers at `socket`, and waits until the guest has enabled it.
    ///
    /// QEMU takes the device in any case. Whether the guest does is its own matter: it has enabled the device when it
    /// decodes at least one BAR, which the driver does that takes it.
    ///
    /// - Parameters:
    ///   - socket: an absolute path; QEMU connects to it.
    ///   - id: the identifier in QEMU; the first free of vgpu0, vgpu1, … unless given.
    ///   - bus: the bus in QEMU; the first free hot-pluggable one unless given.
    ///   - limit: how long the guest may take. One whose processors stand still isn't waited for.
    public func attach(
        socket: String, id: String? = nil, bus: String? = nil, within limit: Duration = .seconds(10)
    ) throws -> Attachment {
        let id = try id ?? freeIdentifier()
        let bus = try bus ?? freeBus()
        try monitor.execute(
            "device_add",
            [
                "driver": .string(Self.driver), "id": .string(id), "bus": .string(bus),
                "socket": ["type": "unix", "path": .string(socket)],
            ])
        let deadline = Deadline(after: limit)
        while true {
            let function = try PCIFunction(id: id, in: monitor.array("query-pci"))
            if function?.isEnabled == true { return Attachment(id: id, bus: bus, function: function, guest: .enabled) }
            let status = try monitor.execute("query-status")["status"]?.string ?? "unknown"
            guard status == "running", !deadline.hasPassed else {
                let guest = Attachment.Guest.notEnabled(after: limit, status: status)
                return Attachment(id: id, bus: bus, function: function, guest: guest)
            }
            // QEMU tells by no event that a guest has enabled a device.
            _ = try monitor.event(within: min(Self.pause, deadline.left ?? Self.pause)) { _ in false }
        }
    }

    /// Between two looks at what the guest has enabled.
    private static let pause = Duration.milliseconds(100)

    /// A device that was plugged in.
    public struct Attachment {
        public let id: String
        public let bus: String
        /// Nil while the bus has no number: before firmware or the guest's system has set it up.
        public let function: PCIFunction?
        public let guest: Guest

        /// What the guest has made of the device.
        public enum Guest: Equatable, Sendable {
            /// It decodes a BAR of it.
            case enabled
            /// It has not, within that time; the machine's `RunState`. It may still do so.
            case notEnabled(after: Duration, status: String)
        }
    }

    private func freeIdentifier() throws -> String {
        let taken = Set(try monitor.properties(of: Self.devices).map(\.name))
        var number = 0
        while taken.contains("vgpu\(number)") { number += 1 }
        return "vgpu\(number)"
    }

    /// The first PCI Express port that nothing is plugged into, or the root bus of a PC without PCI Express.
    private func freeBus() throws -> String {
        let slots = Set(try monitor.types(derivedFrom: "pcie-slot").map { "child<\($0)>" })
        // The bus of a port without an identifier has no name that device_add would find.
        let ports = try monitor.properties(of: Self.devices).filter { slots.contains($0.type) }.map(\.name).sorted()
        for port in ports {
            let path = "\(Self.devices)/\(port)"
            guard try monitor.value(of: "hotplug", of: path) == true else { continue }
            let buses = try monitor.properties(of: path).filter { $0.type == "child<PCIE>" }
            for bus in buses {
                let isTaken = try monitor.properties(of: "\(path)/\(bus.name)").contains { $0.name.hasPrefix("child[") }
                if !isTaken { return bus.name }
            }
        }
        // The chipset's ACPI controller numbers the buses that it can plug into.
        let root = (try? monitor.properties(of: "/machine/i440fx/pci.0")) ?? []
        if root.contains(where: { $0.name == "acpi-pcihp-bsel" }) { return "pci.0" }
        throw HotPlugError.noFreePort(ports: ports)
    }

    // MARK: Detaching

    /// Asks the guest to give up a device, and waits until it has.
    ///
    /// - Parameters:
    ///   - name: the device's identifier in QEMU, or anything else that `socket` goes with.
    ///   - socket: the absolute path of the device's socket, for a name that is no identifier.
    ///   - limit: how long the guest may take.
    ///   - allowsMSIX: detach a device with an MSI-X capability, although that may crash QEMU.
    public func detach(
        _ name: String, socket: String?, within limit: Duration = .seconds(30), allowsMSIX: Bool = false
    ) throws {
        let device = try device(name, socket: socket)
        // memory_region_del_subregion() asserts when the table of a vfio-user device goes away (seen in QEMU 11.1).
        guard allowsMSIX || !device.hasMSIX else { throw HotPlugError.hasMSIX(id: device.id) }
        try monitor.execute("device_del", ["id": .string(device.id)])
        let answer = try monitor.event(within: limit) { event in
            ["DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR"].contains(event.name)
                && event.data["path"]?.string == device.path
        }
        switch answer?.name {
        case "DEVICE_DELETED": return
        case nil:
            let status = try monitor.execute("query-status")["status"]?.string ?? "unknown"
            throw HotPlugError.noAnswer(id: device.id, after: limit, status: status)
        default: throw HotPlugError.guestRefused(id: device.id)
        }
    }

    /// A vfio-user device of the machine.
    private struct Device {
        let id: String
        let hasMSIX: Bool
        /// The names of the objects that it consists of.
        private let parts: [String]

        var path: String { "\(HotPlug.devices)/\(id)" }

        init(id: String, parts: [String]) {
            self.id = id
            self.parts = parts
            hasMSIX = parts.contains { $0.hasPrefix("msix-table[") }
        }

        /// QEMU doesn't give the socket's path away, but names the regions of the device's BARs after it, with some
        /// characters escaped. memory_region_escape_name()
        func isServed(at socket: String) -> Bool {
            var name = "vfio-user:"
            for scalar in socket.unicodeScalars {
                if ["/", "[", "\\", "]"].contains(scalar) {
                    name += "\\x" + String(scalar.value, radix: 16)
                } else {
                    name.unicodeScalars.append(scalar)
                }
            }
            return parts.contains { $0.hasPrefix(name + " BAR ") || $0.hasPrefix(name + " base BAR ") }
        }
    }

    private func device(_ name: String, socket: String?) throws -> Device {
        let all = try monitor.properties(of: Self.devices).filter { $0.type.hasPrefix("child<") }
        let ours = all.filter { $0.type == "child<\(Self.driver)>" }
        guard ours.contains(where: { $0.name == name }) || !all.contains(where: { $0.name == name }) else {
            throw HotPlugError.otherDevice(id: name)
        }
        let devices = try ours.map { device in
            Device(id: device.name, parts: try monitor.properties(of: "\(Self.devices)/\(device.name)").map(\.name))
        }
        if let device = devices.first(where: { $0.id == name }) { return device }
        if let socket, let device = devices.first(where: { $0.isServed(at: socket) }) { return device }
        throw HotPlugError.noSuchDevice(name, others: devices.map(\.id).sorted())
    }
}
