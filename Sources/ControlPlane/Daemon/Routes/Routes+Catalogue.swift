import DaemonAPI
import Mediation
import Supervision

/// Parents and types.
extension Routes {
    var catalogue: [Router.Route] {
        [
            Router.Route(.GET, "/v1/parents") { [manager] _, _ throws(Problem) in
                let (catalogue, instances) = (manager.catalogue, manager.all)
                return try HTTPResponse(
                    ParentList(parents: catalogue.parents.map { ParentStatus($0, catalogue, instances) }))
            },
            Router.Route(.GET, "/v1/types") { [manager] _, _ throws(Problem) in
                let (catalogue, instances) = (manager.catalogue, manager.all)
                return try HTTPResponse(
                    TypeList(types: catalogue.types.map { SupportedType($0, catalogue, instances) }))
            },
        ]
    }
}

extension ParentStatus {
    init(_ parent: Parent, _ catalogue: Catalogue, _ instances: [Instance]) {
        self.init(
            name: parent.name, description: parent.description, videoMemory: parent.videoMemory,
            videoMemoryLeft: catalogue.videoMemoryLeft(of: parent, instances),
            active: instances.count { $0.parent == parent.name && $0.isActive })
    }
}

extension SupportedType {
    init(_ type: InstanceType, _ catalogue: Catalogue, _ instances: [Instance]) {
        self.init(
            name: type.name, description: type.description, device: type.device, deviceAPI: InstanceType.deviceAPI,
            videoMemory: type.limits.videoMemory, resolution: type.resolution, heads: type.heads,
            weight: type.limits.weight, frameRate: type.limits.frameRate,
            parents: catalogue.parents.filter { $0.backs(type) }.map { parent in
                Availability(
                    parent: parent.name,
                    availableInstances: catalogue.availableInstances(of: type, on: parent, instances))
            })
    }
}
