import Control
import DaemonClient
import Device
import DeviceCatalog
import GuestMemory
import Linux
import Mediation

extension AttachArgs {
    /// Prints what gives a Xen domain the device.
    func printForXen() throws {
        let device = try domainDevice()
        let memory = try device.mappedMemory()
        let (total, isTooMuch) = self.memory.bytes.addingReportingOverflow(memory)
        guard !isTooMuch else { throw Failure(.usage, "No domain has \(self.memory) of memory.") }
        let names = form == .xen ? DomainCommands.xl(Size(total)) : DomainCommands.virsh(Size(total))
        var lines = [
            "# \(names.place), HVM: nothing. PVH, where no firmware tells the kernel of a bus:",
            names.kernelArguments,
        ]
        if memory > 0 {
            lines.append("# It gets \(Size(memory)) beside its \(self.memory), where the guest maps the device.")
        }
        lines.append("# The guest finds the device when it boots:")
        lines.append(names.create)
        if memory > 0 { lines.append(names.setMemory) }
        lines.append(device.command(names.domain))
        lines.append(names.unpause)
        Output.print(lines)
    }

    private func domainDevice() throws -> DomainDevice {
        guard let id = InstanceID(socket) else {
            do throws(OptionError) { try DeviceCatalog.check(socket, options: option) } catch {
                throw Failure(.usage, error.description)
            }
            return DomainDevice(type: socket, options: option, vgpu: nil)
        }
        // Only its process knows with which options it was made.
        let info = try daemon.ask { client throws(DaemonClientError) in
            try client.get("/v1/vgpus/\(id)/info", as: ControlInfo.self)
        }
        return DomainDevice(type: info.type, options: info.options, vgpu: id)
    }
}

/// A device that is to be in a domain.
private struct DomainDevice {
    let type: String
    let options: [String]
    /// The vGPU that it is of; nil: there is no daemon.
    let vgpu: InstanceID?

    /// How much memory a domain gets for what its guest maps of the device, in bytes, as whole MiB. The device itself
    /// says it.
    func mappedMemory() throws -> Int {
        var mapped = 0
        let memory = DeviceMemory { (name, size, isOwnAlone, isBehindBAR) throws(Errno) in
            if isBehindBAR, !isOwnAlone { mapped += size }
            return try MemoryFile(name: name, size: size, isOwnAlone: isOwnAlone)
        }
        // What draws maps nothing into the guest, and needn't be started.
        let plain = options.filter { !$0.hasPrefix("render") }
        do {
            let host = Host(loop: try EventLoop(), deviceMemory: memory)
            _ = try DeviceCatalog.make(type, options: plain, host: host)
        } catch {
            throw Failure(.software, "How much memory a guest maps of '\(type)' can't be found out: \(error)")
        }
        let unit = 1 << 20
        return (mapped + unit - 1) / unit * unit
    }

    func command(_ domain: String) -> String {
        if let vgpu { return "mediated attach \(vgpu) --xen \(domain)" }
        let words = options.map { " -o \($0)" }.joined()
        return "mediated run \(type)\(words) --xen \(domain) --control SOCKET &"
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
