import DaemonAPI
import JSON
import Mediation
import Supervision

/// Definitions, and what becomes of them.
extension Routes {
    var vgpus: [Router.Route] {
        [
            Router.Route(.GET, "/v1/vgpus") { [self] _, _ throws(Problem) in
                try HTTPResponse(VGPUList(vgpus: manager.all.map(vgpu)))
            },
            Router.Route(.POST, "/v1/vgpus") { [self] request, _ throws(Problem) in
                let body = try request.decode(
                    VGPUDefinition.self, members: VGPUDefinition.members, nested: ["owner": VGPU.Owner.members],
                    as: "application/json")
                let instance = try Instance(body)
                let isTransient = body.transient ?? false
                let made = try await answering { () throws(MediationError) in
                    if isTransient {
                        try await manager.startTransient(instance)
                    } else {
                        try await manager.define(instance)
                    }
                }
                var response = try HTTPResponse(vgpu(made), status: .created)
                response.headers.append((name: "location", value: "/v1/vgpus/\(made.id)"))
                return response
            },
            Router.Route(.GET, "/v1/vgpus/{uuid}") { [self] _, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                return try HTTPResponse(
                    vgpu(try await answering { () throws(MediationError) in try manager.instance(id) }))
            },
            Router.Route(.PATCH, "/v1/vgpus/{uuid}") { [self] request, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                let change = try request.decode(
                    VGPUChange.self, members: VGPUChange.members, nested: ["owner": VGPU.Owner.members],
                    as: "application/merge-patch+json", "application/json")
                let modification = Modification(change)
                return try HTTPResponse(
                    vgpu(
                        try await answering { () throws(MediationError) in try await manager.modify(id, modification) })
                )
            },
            Router.Route(.DELETE, "/v1/vgpus/{uuid}") { [manager] _, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                try await answering { () throws(MediationError) in try await manager.undefine(id) }
                return .noContent
            },
            Router.Route(.POST, "/v1/vgpus/{uuid}/start") { [self] _, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                return try HTTPResponse(
                    vgpu(try await answering { () throws(MediationError) in try await manager.start(id) }))
            },
            Router.Route(.POST, "/v1/vgpus/{uuid}/stop", query: ["generation"]) {
                [self] request, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                let generation = try request.number("generation", in: 0...Int.max, otherwise: -1)
                return try HTTPResponse(
                    vgpu(
                        try await answering { () throws(MediationError) in
                            try await manager.stop(id, generation: generation < 0 ? nil : generation)
                        }))
            },
        ]
    }

    func vgpu(_ instance: Instance) -> VGPU {
        VGPU(
            uuid: "\(instance.id)", parent: instance.parent, type: instance.type, state: instance.state.rawValue,
            defined: instance.isDefined, autostart: instance.isAutostarted,
            attributes: Dictionary(instance.attributes.map { ($0.name, $0.value) }) { _, last in last },
            owner: instance.owner.map { VGPU.Owner(user: $0.user, group: $0.group) }, restarts: instance.restarts,
            generation: instance.isActive ? instance.generation : nil,
            socket: instance.isActive && instance.slot == nil ? directories.socket(of: instance.id) : nil,
            domain: instance.slot.map { VGPU.Domain(number: $0.domain, slot: "\($0.address)") },
            pid: instance.process?.id, mappedMemory: try? manager.catalogue.mappedMemory(of: instance))
    }
}

extension Instance {
    init(_ definition: VGPUDefinition) throws(Problem) {
        self.init(
            id: try definition.uuid.map(instanceID) ?? InstanceID(), parent: definition.parent, type: definition.type,
            attributes: (definition.attributes ?? [:]).sorted { $0.key < $1.key }.map { Attribute($0.key, $0.value) },
            isAutostarted: definition.autostart ?? false,
            owner: definition.owner.map { Owner(user: $0.user, group: $0.group) })
    }
}

extension Modification {
    init(_ change: VGPUChange) {
        self.init()
        type = change.type
        isAutostarted = change.autostart
        owner = change.owner.map { Instance.Owner(user: $0.user, group: $0.group) }
        for (name, value) in (change.attributes ?? [:]).sorted(by: { $0.key < $1.key }) {
            if let value { attributes.append(Attribute(name, value)) } else { removedAttributes.append(name) }
        }
    }
}
