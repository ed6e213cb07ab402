import ArgumentParser
import Linux
import QMP
import VFIOUserClient

/// `mediated attach`
struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Plug a device into a running virtual machine, or put a vGPU into a Xen domain.",
        discussion: """
            The virtual machine is a QEMU with a monitor: '-qmp unix:PATH,server=on,wait=off'. Its memory must be \
            shared, as 'mediated attach-args' prints it, and it must have a free PCI Express port whose windows have \
            room for the device, such as '-device pcie-root-port,id=rp0,pref32-reserve=32M', or be a PC without PCI \
            Express. A device with an MSI-X capability can't be unplugged again.

            When QEMU has taken the device the command waits until the guest has enabled it, and prints whether it has. \
            The status is 0 either way, for the device is plugged in: a guest that boots later finds it.

            With --xen a vGPU of the daemon goes into a slot of a Xen domain, and comes back when the domain ends. The \
            domain's guest isn't told: it finds the vGPU when it boots, so the domain is to be paused until then. \
            'mediated attach-args --xen' prints what belongs together.
            """)

    @Argument(help: "The vfio-user socket of the device, or a vGPU's UUID.", completion: .file())
    var target: String

    @OptionGroup var machine: HotPlugOptions
    @OptionGroup var domain: DomainOptions

    @Flag(help: "Attach the vGPU although the domain has run already: its guest will look for new devices by itself.")
    var live = false

    @Option(help: "The device's identifier in QEMU. [default: the first free of vgpu0, vgpu1, …]")
    var id: String?

    @Option(help: "The bus in QEMU. [default: the first free port]")
    var bus: String?

    @Option(help: ArgumentHelp("How long the guest may take to enable the device. [default: 10]", valueName: "seconds"))
    var timeout: Int?

    @Flag(help: "Attach the device although the guest's memory is private.")
    var force = false

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard (machine.qmp == nil) != (domain.xen == nil) else {
            throw ValidationError("Name the virtual machine: --qmp SOCKET of a QEMU, or --xen DOMAIN.")
        }
        guard domain.xen == nil || (id == nil && bus == nil && timeout == nil && !force) else {
            throw ValidationError("--id, --bus, --timeout and --force go with --qmp.")
        }
        guard domain.xen != nil || !live else { throw ValidationError("--live goes with --xen.") }
        if let timeout, !(0...3600).contains(timeout) {
            throw ValidationError("The timeout is \(timeout), but must be from 0 to 3600 seconds.")
        }
        guard let id else { return }
        let isValid = id.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
            default: false
            }
        }
        guard isValid, id.first?.isLetter == true else {
            throw ValidationError(
                "The identifier is '\(id)' but must be a letter and then letters, digits and any of '-._'.")
        }
    }

    func run() throws {
        if let xen = domain.xen { try attach(to: Domain(xen)) } else { try attachToQEMU() }
    }

    private func attachToQEMU() throws {
        let timeout = timeout ?? 10
        let socket = try daemon.socketPath(of: target)
        let attachment = try machine.withMachine(force: "attaches it", within: .seconds(timeout)) { machine in
            try machine.checkMachine(allowsPrivateMemory: force)
            try checkDevice(socket)
            return try machine.attach(socket: socket, id: id, bus: bus, within: .seconds(timeout))
        }
        let function = attachment.function
        let rows = [
            ["id", attachment.id],
            ["bus", attachment.bus],
            ["address", function?.address ?? "none yet: the guest's firmware has not set up its PCI buses"],
            ["guest", attachment.guest.description],
        ]
        Output.print(rows.columns())
        if let shortage = function?.shortage { StandardError.print("mediated: \(shortage.note)") }
    }

    /// Whether the device is there and free. QEMU connects when this client has left.
    private func checkDevice(_ socket: String) throws {
        do throws(ClientError) {
            _ = try Client(path: socket)
        } catch .refused(.version, .permissionDenied) {
            // It serves some users only. QEMU's may be one of them, and will see whether the device is free.
        } catch {
            throw Failure(error, socket, purpose: "attached")
        }
    }
}

extension HotPlug.Attachment.Guest: CustomStringConvertible {
    public var description: String {
        switch self {
        case .enabled: "has enabled it"
        case .notEnabled(.zero, "running"): "has not enabled it at once, and was not waited for"
        case .notEnabled(let limit, "running"):
            "has not enabled it within \(limit.components.seconds) s: it is starting, has no driver for it, or knows no PCI hot-plug"
        case .notEnabled(_, let status): "has not enabled it: it is not running (\(status)), and may do so once it runs"
        }
    }
}

extension PCIFunction {
    /// As `lspci` writes it.
    fileprivate var address: String {
        func hexadecimal(_ number: Int) -> String { (number < 16 ? "0" : "") + String(number, radix: 16) }
        return "\(hexadecimal(bus)):\(hexadecimal(device)).\(function)"
    }
}

extension PCIFunction.Shortage {
    fileprivate var note: String {
        "The guest may find no room for the device: it needs \(needed.text), and its port has \(available.text). Give the "
            + "port more at the start, such as 'pref32-reserve=32M'."
    }
}

extension PCIFunction.Space {
    fileprivate var text: String { "\(Size(prefetchable)) of prefetchable and \(Size(other)) of other memory space" }
}
