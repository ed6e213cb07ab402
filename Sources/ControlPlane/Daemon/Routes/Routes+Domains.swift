import DaemonAPI
import Mediation
import PCI
import Supervision

/// vGPUs in the slots of Xen domains.
extension Routes {
    var domains: [Router.Route] {
        [
            Router.Route(.POST, "/v1/vgpus/{uuid}/attach") { [self] request, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                let body = try request.decode(
                    VGPUAttachment.self, members: VGPUAttachment.members, as: "application/json")
                let address = try body.slot.map(functionAddress)
                return try HTTPResponse(
                    vgpu(
                        try await answering { () throws(MediationError) in
                            try await manager.attach(id, to: body.domain, at: address)
                        }))
            },
            Router.Route(.POST, "/v1/vgpus/{uuid}/detach") { [self] _, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                return try HTTPResponse(
                    vgpu(try await answering { () throws(MediationError) in try await manager.detach(id) }))
            },
        ]
    }
}

private func functionAddress(_ text: String) throws(Problem) -> FunctionAddress {
    guard let address = FunctionAddress(text) else {
        throw Problem(.badRequest, .invalid, "The slot is '\(text)' but must be BB:DD.F, such as 00:10.0.")
    }
    return address
}
