import ArgumentParser
import Mediation
import QMP

/// `mediated detach`
struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Unplug a device from a running virtual machine.",
        discussion: """
            The guest is asked to give the device up, which takes it some seconds: a PCI Express port waits 5, for a \
            person who changes their mind. The device process goes on.
            """)

    @Argument(help: "The device's identifier in QEMU, its vfio-user socket, or a vGPU's UUID.", completion: .file())
    var target: String

    @OptionGroup var machine: HotPlugOptions

    @Option(help: ArgumentHelp("How long the guest may take.", valueName: "seconds"))
    var timeout = 30

    @Flag(help: "Detach the device although it has an MSI-X capability, which may crash QEMU.")
    var force = false

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard (1...3600).contains(timeout) else {
            throw ValidationError("The timeout is \(timeout), but must be from 1 to 3600 seconds.")
        }
    }

    func run() throws {
        // An identifier need not make a path.
        let socket =
            InstanceID(target) == nil ? try? socketPath(of: target) : try daemon.socketPath(of: target, mustRun: false)
        try machine.withMachine(force: "detaches it", within: .seconds(timeout)) { machine in
            try machine.detach(target, socket: socket, within: .seconds(timeout), allowsMSIX: force)
        }
    }
}
