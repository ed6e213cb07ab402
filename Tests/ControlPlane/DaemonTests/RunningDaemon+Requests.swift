import JSON
import Linux
import RunningDaemon
import Testing

extension RunningDaemon {
    /// - Parameters:
    ///   - types: the administrator's file.
    ///   - isStarted: whether it begins at once.
    convenience init(types: String? = nil, isStarted: Bool = true) throws {
        try self.init(by: ["mediated-daemon"], types: types, isStarted: isStarted)
    }

    /// Waits until it has a connection left to answer over. It tells nobody when it has.
    func awaitAnswer() throws {
        let deadline = Deadline(after: .seconds(240))
        while (try? HTTPExchange("GET", "/v1/status", over: socket)) == nil {
            try #require(!deadline.hasPassed && isRunning, "The daemon doesn't answer: \(log)")
            _ = try? waitReadable([], within: .milliseconds(5))
        }
    }

    @discardableResult
    func request(
        _ method: String, _ path: String, _ body: JSON? = nil, contentType: String = "application/json"
    ) throws -> HTTPExchange {
        try HTTPExchange(
            method, path, body: body.map { Array($0.text.utf8) }, contentType: body == nil ? nil : contentType,
            over: socket)
    }

    func patch(_ id: String, _ body: JSON) throws -> HTTPExchange {
        try request("PATCH", "/v1/vgpus/\(id)", body, contentType: "application/merge-patch+json")
    }

    /// Defines a vGPU.
    func define(_ type: String = "exerciser", _ more: (String, JSON)...) throws -> String {
        let parent: [(String, JSON)] = more.contains { $0.0 == "parent" } ? [] : [("parent", "cpu")]
        let body = JSON.Object(parent + [("type", .string(type))] + more)
        let answer = try request("POST", "/v1/vgpus", .object(body))
        try #require(answer.status == 201, "\(answer)")
        return try #require(answer.json["uuid"]?.string)
    }

    func vgpu(_ id: String) throws -> JSON { try request("GET", "/v1/vgpus/\(id)").json }

    /// The device processes that vGPUs have.
    func knownProcesses() throws -> Set<Int32> {
        Set(try settledVGPUs().compactMap { $0["pid"]?.int.flatMap(Int32.init) })
    }

    /// All vGPUs, once none of them is about to be started.
    func settledVGPUs() throws -> [JSON] {
        let deadline = Deadline(after: .seconds(60))
        while true {
            let last = try request("GET", "/v1/events?limit=1").json["last"]?.int ?? 0
            let vgpus = try request("GET", "/v1/vgpus").json["vgpus"]?.array ?? []
            if vgpus.allSatisfy({ ["running", "stopped"].contains($0["state"]?.string) }) { return vgpus }
            try #require(!deadline.hasPassed, "\(vgpus)")
            // Whatever happens to one is in the journal.
            _ = try request("GET", "/v1/events?wait=5&after=\(last)")
        }
    }

    /// Waits until the journal has an event of a kind.
    func event(_ kind: String, of id: String? = nil, after number: Int = 0) throws -> JSON {
        var last = number
        let deadline = Deadline(after: .seconds(60))
        while !deadline.hasPassed {
            let page = try request("GET", "/v1/events?wait=5&after=\(last)" + (id.map { "&vgpu=\($0)" } ?? "")).json
            if let found = page["events"]?.array?.first(where: { $0["kind"]?.string == kind }) { return found }
            last = page["last"]?.int ?? last
        }
        throw HTTPExchange.Failure("The journal has no \(kind).")
    }
}
