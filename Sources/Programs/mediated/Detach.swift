import ArgumentParser
import Mediation
import QMP

/// `mediated detach`
struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Unplug a device from a running virtual machine, or take a vGPU out of a Xen domain.",
        discussion: """
            The guest is asked to give the device up, which takes it some seconds: a PCI Express port waits 5, for a \
            person who changes their mind. The device process goes on.

            Without --qmp a vGPU of the daemon is taken out of its Xen domain's slot. The domain's guest isn't asked: have \
            it give the device up before, as by 'echo 1 >/sys/bus/pci/devices/0000:00:10.0/remove'.
            """)

    @Argument(help: "The device's identifier in QEMU, its vfio-user socket, or a vGPU's UUID.", completion: .file())
    var target: String

    @OptionGroup var machine: HotPlugOptions

    @Option(help: ArgumentHelp("How long the guest may take. [default: 30]", valueName: "seconds"))
    var timeout: Int?

    @Flag(help: "Detach the device although it has an MSI-X capability, which may crash QEMU.")
    var force = false

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        if let timeout, !(1...3600).contains(timeout) {
            throw ValidationError("The timeout is \(timeout), but must be from 1 to 3600 seconds.")
        }
    }

    func run() throws {
        guard machine.qmp != nil else { return try detachFromDomain() }
        let timeout = timeout ?? 30
        // An identifier need not make a path.
        let socket =
            InstanceID(target) == nil ? try? socketPath(of: target) : try daemon.socketPath(of: target, mustRun: false)
        try machine.withMachine(force: "detaches it", within: .seconds(timeout)) { machine in
            try machine.detach(target, socket: socket, within: .seconds(timeout), allowsMSIX: force)
        }
    }
}
