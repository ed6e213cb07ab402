import ArgumentParser
import JSON
import Mediation

/// `mediated attach-args`
struct AttachArgs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach-args",
        abstract: "Print what gives a virtual machine the device: for QEMU, libvirt or Xen.",
        discussion: """
            QEMU's device shares the guest's memory with the device process, so the memory must be shareable: a memfd. \
            libvirt has no element for a vfio-user device; it hands QEMU's own arguments on. Merge the printed elements \
            into the domain.

            For a Xen domain it prints what belongs into the domain's configuration, how much memory the domain is to get \
            beside its own, and the commands in their order.
            """)

    enum Form: String, EnumerableFlag {
        case qemu, libvirt, xen, libxl

        static func help(for value: Form) -> ArgumentHelp? {
            switch value {
            case .qemu: "Arguments for QEMU, quoted for a shell."
            case .libvirt: "Elements for a libvirt domain."
            case .xen: "Configuration and commands for xl."
            case .libxl: "Configuration and commands for libvirt with Xen."
            }
        }
    }

    @Argument(
        help: """
            The vfio-user socket that a device process serves, or will serve, or a vGPU's UUID; for Xen a type, or a \
            vGPU's UUID.
            """, completion: .file()
    )
    var target: String

    @Flag var form = Form.qemu

    @Option(
        name: [.short, .long],
        help: ArgumentHelp("An option of the type, for Xen; may be repeated.", valueName: "key=value"))
    var option: [String] = []

    @Option(help: "The guest's memory, such as 512M or 4G.")
    var memory = Size(1 << 30)

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard memory.bytes >= 1 << 20, memory.bytes.isMultiple(of: 1 << 20) else {
            throw ValidationError("The memory is \(memory) but must be a multiple of 1M, and at least that.")
        }
        guard option.isEmpty || (isForXen && InstanceID(target) == nil) else {
            throw ValidationError("--option goes with a type, for --xen and --libxl.")
        }
    }

    private var isForXen: Bool { form == .xen || form == .libxl }

    func run() throws {
        switch form {
        case .qemu: Output.print(qemu(try socketDevice()))
        case .libvirt: Output.print(libvirt(try socketDevice()))
        case .xen, .libxl: try printForXen()
        }
    }

    /// What QEMU is told of the device.
    private func socketDevice() throws -> JSON {
        let path = try daemon.socketPath(of: target, mustRun: false)
        return ["driver": "vfio-user-pci", "socket": ["type": "unix", "path": .string(path)]]
    }

    private func qemu(_ device: JSON) -> [String] {
        let arguments = [
            "-m \(memory)",
            "-object memory-backend-memfd,id=mem,size=\(memory),share=on",
            "-machine memory-backend=mem",
            "-device \(device.text.shellQuoted)",
        ]
        return arguments.dropLast().map { $0 + " \\" } + arguments.suffix(1)
    }

    private func libvirt(_ device: JSON) -> [String] {
        let elements = """
            <domain xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
              <memory unit="KiB">\(memory.bytes >> 10)</memory>
              <memoryBacking>
                <source type="memfd"/>
                <access mode="shared"/>
              </memoryBacking>
              <qemu:commandline>
                <qemu:arg value="-device"/>
                <qemu:arg value="\(Self.xmlEscaped(device.text))"/>
              </qemu:commandline>
            </domain>
            """
        return elements.split(separator: "\n").map(String.init)
    }

    /// The text as an attribute's value. XML 1.0, section 2.4
    private static func xmlEscaped(_ text: String) -> String {
        let entities: [Character: String] = ["&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;"]
        return text.map { entities[$0] ?? String($0) }.joined()
    }
}
