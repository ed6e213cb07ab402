import Control
import DaemonAPI
import Mediation
import Metrics
import Supervision

/// The page for Prometheus.
extension Routes {
    var metrics: [Router.Route] {
        [
            Router.Route(.GET, "/metrics") { [self] _, _ throws(Problem) in
                let (catalogue, instances) = (manager.catalogue, manager.all)
                let families =
                    VGPUStatus.metrics(of: await statuses(of: instances)) + Self.families(of: instances)
                    + Self.families(of: catalogue, instances) + statistics.families
                return HTTPResponse(
                    contentType: MetricFamily.contentType, body: Array(MetricFamily.text(of: families).utf8))
            }
        ]
    }

    /// Asks all device processes at the same time.
    private func statuses(of instances: [Instance]) async -> [VGPUStatus] {
        await withTaskGroup(of: (Int, VGPUStatus).self) { group in
            for (index, instance) in instances.filter(\.isActive).enumerated() {
                group.addTask {
                    let answer = try? await manager.ask(instance.id) { client in
                        let info = try client.info()
                        return VGPUStatus.Answer(
                            type: instance.type, name: info.name, hasClient: info.clientConnected,
                            statistics: VGPUStatistics(try client.statistics()))
                    }
                    return (index, VGPUStatus(vgpu: "\(instance.id)", answer: answer))
                }
            }
            var statuses: [(Int, VGPUStatus)] = []
            for await status in group { statuses.append(status) }
            return statuses.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private static func families(of instances: [Instance]) -> [MetricFamily] {
        func labels(_ instance: Instance) -> [MetricLabel] {
            [MetricLabel("vgpu", "\(instance.id)"), MetricLabel("type", instance.type)]
        }
        return [
            MetricFamily(
                "mediated_vgpu_state", help: "The state of the vGPU; always 1.",
                .gauge(instances.map { Metric(labels($0) + [MetricLabel("state", $0.state.rawValue)], 1) })),
            MetricFamily(
                "mediated_vgpu_restarts_total",
                help: "How often the vGPU's device process was replaced since the vGPU was started.",
                .counter(instances.map { Metric(labels($0), Double($0.restarts)) })),
            MetricFamily(
                "mediated_vgpu_domain", help: "The Xen domain and the slot that the vGPU is in; always 1.",
                .gauge(
                    instances.compactMap { instance in
                        instance.slot.map { slot in
                            Metric(
                                labels(instance) + [
                                    MetricLabel("domain", "\(slot.domain)"), MetricLabel("slot", "\(slot.address)"),
                                ], 1)
                        }
                    })),
        ]
    }

    private static func families(of catalogue: Catalogue, _ instances: [Instance]) -> [MetricFamily] {
        [
            MetricFamily(
                "mediated_parent_video_memory_bytes", help: "What all vGPUs of the parent may have together.",
                .gauge(catalogue.parents.map { Metric([MetricLabel("parent", $0.name)], Double($0.videoMemory)) })),
            MetricFamily(
                "mediated_parent_video_memory_left_bytes", help: "What no active vGPU of the parent has.",
                .gauge(
                    catalogue.parents.map {
                        Metric(
                            [MetricLabel("parent", $0.name)], Double(catalogue.videoMemoryLeft(of: $0, instances)))
                    })),
            MetricFamily(
                "mediated_type_available_instances", help: "How many more vGPUs of the type the parent could back now.",
                .gauge(
                    catalogue.parents.flatMap { parent in
                        catalogue.types.filter(parent.backs).map { type in
                            Metric(
                                [MetricLabel("parent", parent.name), MetricLabel("type", type.name)],
                                Double(catalogue.availableInstances(of: type, on: parent, instances)))
                        }
                    })),
        ]
    }
}
