import DaemonAPI
import DaemonClient
import Device
import DeviceCatalog
import Mediation

extension AttachArgs {
    /// Prints what gives a Xen domain the device.
    func printForXen() throws {
        let device = try domainDevice()
        let (total, isTooMuch) = self.memory.bytes.addingReportingOverflow(device.wholeMemory)
        guard !isTooMuch else { throw Failure(.usage, "No domain has \(self.memory) of memory.") }
        let names = form == .xen ? DomainCommands.xl(Size(total)) : DomainCommands.virsh(Size(total))
        var lines = [
            "# \(names.place), HVM: nothing. PVH, where no firmware tells the kernel of a bus:",
            names.kernelArguments,
        ]
        let mapsMemory = device.wholeMemory > 0
        if mapsMemory {
            lines.append(
                "# It gets \(Size(device.wholeMemory)) beside its \(self.memory), where the guest maps the device.")
        }
        lines.append("# The guest finds the device when it boots:")
        lines.append(names.create)
        if mapsMemory { lines.append(names.setMemory) }
        lines += device.commands(names.domain)
        lines.append(names.unpause)
        Output.print(lines)
    }

    /// Of a vGPU the daemon says it. Its device process isn't asked: a guest may have taken that over.
    private func domainDevice() throws(Failure) -> DomainDevice {
        guard let id = InstanceID(target) else {
            do throws(OptionError) {
                let memory = try DeviceCatalog.mappedMemory(target, options: option)
                return DomainDevice(made: .byType(target, options: option), mappedMemory: memory)
            } catch {
                throw Failure(.usage, error.description)
            }
        }
        let vgpu = try daemon.ask { client throws(DaemonClientError) in
            try client.get("/v1/vgpus/\(id)", as: VGPU.self)
        }
        guard let memory = vgpu.mappedMemory else {
            throw Failure(
                .unavailable, "The type or the parent of the vGPU \(id) is gone, and with it what a domain needs.")
        }
        return DomainDevice(made: .byDaemon(id), mappedMemory: memory)
    }
}

/// A device that is to be in a domain.
private struct DomainDevice {
    enum Way {
        /// Without a daemon.
        case byType(String, options: [String])
        case byDaemon(InstanceID)
    }

    let made: Way
    /// How much memory the guest maps of it, in bytes.
    let mappedMemory: Int

    /// How much memory the domain gets for it, in bytes: toolstacks count in MiB.
    var wholeMemory: Int {
        let unit = 1 << 20
        return (mappedMemory + unit - 1) / unit * unit
    }

    func commands(_ domain: String) -> [String] {
        switch made {
        case .byType(let type, let options):
            let words = options.map { " -o \($0)" }.joined()
            return [
                "mediated run \(type)\(words) --xen \(domain) --control SOCKET &",
                "# Wait until it has said 'Serving':",
            ]
        case .byDaemon(let id): return ["mediated attach \(id) --xen \(domain)"]
        }
    }
}

/// What a toolstack of Xen's calls things.
private struct DomainCommands {
    let place, kernelArguments, domain, create, setMemory, unpause: String

    /// - Parameter memory: what the domain may have in all.
    static func xl(_ memory: Size) -> Self {
        DomainCommands(
            place: "The configuration", kernelArguments: "extra = \"pci=conf1,noacpi\"", domain: "DOMAIN",
            create: "xl create -p CONFIGURATION", setMemory: "xl mem-max DOMAIN \(memory.bytes >> 20)m",
            unpause: "xl unpause DOMAIN")
    }

    static func virsh(_ memory: Size) -> Self {
        DomainCommands(
            place: "The domain's <os>", kernelArguments: "<cmdline>pci=conf1,noacpi</cmdline>",
            domain: "$(virsh domid DOMAIN)", create: "virsh start --paused DOMAIN",
            setMemory: "virsh setmaxmem DOMAIN \(memory.bytes >> 20)MiB --live", unpause: "virsh resume DOMAIN")
    }
}
