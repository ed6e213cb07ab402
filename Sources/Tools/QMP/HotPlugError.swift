/// Why a device can't be plugged into a machine, or unplugged from it.
public enum HotPlugError: Error, Equatable, CustomStringConvertible {
    /// This QEMU has no vfio-user devices at all.
    case noDriver(version: String)
    /// The guest's memory is not shared with other processes; nil when there is no memory backend.
    case privateMemory(backend: String?)
    /// A migration is set up or running, from here or to here; a `MigrationStatus` or `RunState`.
    case migrating(status: String)
    /// No hot-pluggable bus has room; the ports that there are.
    case noFreePort(ports: [String])
    /// No vfio-user device is meant by the name; the identifiers of those that there are.
    case noSuchDevice(String, others: [String])
    /// The identifier is that of a device of another kind.
    case otherDevice(id: String)
    /// QEMU may crash when the device is unplugged.
    case hasMSIX(id: String)
    /// The guest's system did not give the device up. `DEVICE_UNPLUG_GUEST_ERROR`
    case guestRefused(id: String)
    /// The guest has not answered in time; the machine's `RunState`.
    case noAnswer(id: String, after: Duration, status: String)

    public var description: String {
        switch self {
        case .noDriver(let version):
            "QEMU \(version) has no vfio-user-pci device: it takes QEMU 10.1 or later, built with vfio-user."
        case .privateMemory(let backend):
            "The guest's memory\(backend.map { " '\($0)'" } ?? "") is private to QEMU, so that the device would read stale "
                + "data: start the virtual machine with memory that is shared, as 'mediated attach-args' prints it."
        case .migrating(let status):
            "A migration is under way (\(status)), and QEMU migrates a vfio-user device without its state: wait for its "
                + "end, or cancel it."
        case .noFreePort(let ports) where ports.isEmpty:
            "The machine has no PCI Express port to plug the device into: start QEMU with "
                + "'-device pcie-root-port,id=rp0,pref32-reserve=32M', or name a bus."
        case .noFreePort(let ports):
            "The PCI Express ports are all taken, or not hot-pluggable: \(ports.joined(separator: ", ")). Detach "
                + "something, or start QEMU with one more 'pcie-root-port'."
        case .noSuchDevice(let name, let others) where others.isEmpty:
            "The virtual machine has no device '\(name)', and no vfio-user device at all that was given an identifier."
        case .noSuchDevice(let name, let others):
            "The virtual machine has no vfio-user device '\(name)'; it has \(others.joined(separator: ", "))."
        case .otherDevice(let id): "The device '\(id)' is no vfio-user device."
        case .hasMSIX(let id):
            "The device '\(id)' has an MSI-X capability, and QEMU may crash when such a vfio-user device is unplugged: "
                + "shut the virtual machine down instead."
        case .guestRefused(let id):
            "The guest refused to give up the device '\(id)': something in it may use the device."
        case .noAnswer(let id, let limit, "running"):
            "The guest has not given up the device '\(id)' within \(limit.inMilliseconds) ms: it is starting, or its system knows "
                + "no PCI hot-plug. It stays asked, and may still do so."
        case .noAnswer(let id, let limit, let status):
            "The guest has not given up the device '\(id)' within \(limit.inMilliseconds) ms, for it is not running (\(status)). It "
                + "stays asked, and may do so once it runs."
        }
    }
}
