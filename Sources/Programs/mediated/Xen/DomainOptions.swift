import ArgumentParser
import PCI
import XenSlot

/// Which slot of which Xen domain a command is for.
struct DomainOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The Xen domain that is to have the device: its number, or its name where xl is.", valueName: "domain"))
    var xen: String?

    @Option(
        help: ArgumentHelp(
            """
            The domain's slot, as BB:DD.F in hexadecimal digits. [default: \(DomainSlot.addresses[0]), for a vGPU the \
            first from there on that no other has: the domain's own devices, such as QEMU's, have the low ones]
            """, valueName: "slot"))
    var slot: FunctionAddress?

    func validate() throws {
        guard slot == nil || xen != nil else { throw ValidationError("--slot goes with --xen DOMAIN.") }
    }
}

extension FunctionAddress: ExpressibleByArgument {
    public init?(argument: String) {
        self.init(argument)
    }
}
