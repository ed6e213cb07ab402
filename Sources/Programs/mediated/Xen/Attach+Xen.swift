import DaemonAPI
import DaemonClient
import Mediation

extension Attach {
    /// Has the daemon put the vGPU into a domain.
    func attach(to domain: Domain) throws(Failure) {
        guard let id = InstanceID(target) else {
            throw Failure(
                .usage,
                "'\(target)' is no UUID, and only a vGPU of the daemon goes into a domain while it runs. Otherwise the device "
                    + "is there from its start: 'mediated run TYPE --xen DOMAIN'.")
        }
        if !live { try domain.checkIsNew() }
        let wanted = VGPUAttachment(domain: domain.number, slot: self.domain.slot?.description)
        let vgpu = try daemon.ask { client throws(DaemonClientError) in
            try client.post("/v1/vgpus/\(id)/attach", wanted, as: VGPU.self)
        }
        guard let placed = vgpu.domain else {
            throw Failure(.protocol, "The daemon has put the vGPU \(id) into a domain, and doesn't say where.")
        }
        Output.print([["domain", "\(placed.number)"], ["slot", placed.slot]].columns())
    }
}

extension Detach {
    /// Has the daemon take the vGPU out of its domain.
    func detachFromDomain() throws(Failure) {
        guard let id = InstanceID(target) else {
            throw Failure(
                .usage, "QEMU's monitor isn't named: give --qmp SOCKET. Out of a domain a vGPU is taken by its UUID.")
        }
        guard timeout == nil, !force else { throw Failure(.usage, "--timeout and --force go with --qmp.") }
        _ = try daemon.ask { client throws(DaemonClientError) in
            try client.post("/v1/vgpus/\(id)/detach", as: VGPU.self)
        }
    }
}
