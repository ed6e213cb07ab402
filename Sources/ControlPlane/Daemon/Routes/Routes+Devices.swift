import Control
import DaemonAPI
import Device
import Mediation
import PNG
import Supervision

/// What the device processes of running vGPUs say of themselves.
extension Routes {
    var devices: [Router.Route] {
        [
            Router.Route(.GET, "/v1/vgpus/{uuid}/statistics") { [manager] _, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                return HTTPResponse(
                    try await answering { () throws(MediationError) in
                        try await manager.ask(id) { client in try client.statistics() }
                    })
            },
            Router.Route(.GET, "/v1/vgpus/{uuid}/info") { [manager] _, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                return try HTTPResponse(
                    try await answering { () throws(MediationError) in
                        try await manager.ask(id) { client in try client.info() }
                    })
            },
            Router.Route(.GET, "/v1/vgpus/{uuid}/recorder", query: ["of"]) {
                [manager, largeAnswers] request, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                let whose = request.query["of"] ?? "running"
                guard whose == "running" || whose == "dead" else {
                    throw Problem(.badRequest, .invalid, "'of' is '\(whose)' but must be running or dead.")
                }
                let memory = try await answering { () async throws(MediationError) in
                    try await largeAnswers.take(id) { () async throws(MediationError) in
                        try await manager.recording(of: id, isDead: whose == "dead")
                    }
                }
                return HTTPResponse(contentType: "application/octet-stream", body: memory)
            },
            Router.Route(.GET, "/v1/vgpus/{uuid}/screenshot", query: ["head"]) {
                [manager, largeAnswers] request, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                let head = try request.number("head", in: 0...15, otherwise: 0)
                let picture = try await answering { () async throws(MediationError) in
                    try await largeAnswers.take(id) { () async throws(MediationError) in
                        try await manager.ask(id) { client in try client.screenshot(head: head).png() }
                    }
                }
                return HTTPResponse(contentType: "image/png", body: picture)
            },
            Router.Route(.PUT, "/v1/vgpus/{uuid}/monitors/{head}") { [self] request, parameters throws(Problem) in
                let monitor = try request.decode(
                    Monitor.self, members: ["width", "height"], as: "application/json")
                let edges = 1...65_535
                guard edges.contains(monitor.width), edges.contains(monitor.height) else {
                    throw Problem(
                        .badRequest, .invalid,
                        "The monitor has \(monitor.width) by \(monitor.height) pixels, but both must be from 1 to 65535."
                    )
                }
                return try await connect(monitor, parameters)
            },
            Router.Route(.DELETE, "/v1/vgpus/{uuid}/monitors/{head}") { [self] _, parameters throws(Problem) in
                try await connect(nil, parameters)
            },
            Router.Route(.GET, "/v1/vgpus/{uuid}/log", query: ["lines", "after"]) {
                [manager] request, parameters throws(Problem) in
                let id = try instanceID(parameters[0])
                let count = try request.number("lines", in: 1...10_000, otherwise: 100)
                let after = try request.number("after", in: 0...Int.max, otherwise: -1)
                let (lines, end) = try await answering { () throws(MediationError) in
                    try await manager.log(of: id, lines: count, after: after < 0 ? nil : after)
                }
                return try HTTPResponse(LogLines(lines: lines, end: end))
            },
        ]
    }

    /// Puts a monitor at a head, or takes it away.
    ///
    /// - Parameter parameters: the vGPU's UUID and the head's number.
    private func connect(_ monitor: Monitor?, _ parameters: [String]) async throws(Problem) -> HTTPResponse {
        let id = try instanceID(parameters[0])
        guard let head = Int(parameters[1]), (0...15).contains(head) else {
            throw Problem(.badRequest, .invalid, "The head is '\(parameters[1])' but must be a number from 0 to 15.")
        }
        try await answering { () throws(MediationError) in
            try await manager.ask(id) { client in try client.connect(monitor, to: head) }
        }
        return .noContent
    }
}
