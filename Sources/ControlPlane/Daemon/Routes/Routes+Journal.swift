import DaemonAPI
import Mediation
import Supervision

/// What has happened, and what happens next.
extension Routes {
    /// The longest time that an answer waits for something to happen, in seconds.
    static let longestWait = 50

    var journal: [Router.Route] {
        [
            Router.Route(.GET, "/v1/events", query: ["after", "limit", "wait", "vgpu"]) {
                [manager] request, _ throws(Problem) in
                let after = try request.number("after", in: 0...Int.max, otherwise: 0)
                let limit = try request.number("limit", in: 1...1000, otherwise: 1000)
                let wait = try request.number("wait", in: 0...Self.longestWait, otherwise: 0)
                let id = try request.query["vgpu"].map(instanceID)
                let (entries, last) = try await answering { () throws(MediationError) in
                    if let id, after == 0, wait == 0 { _ = try manager.instance(id) }
                    return try await manager.journal(after: after, instance: id, limit: limit, waiting: .seconds(wait))
                }
                return try HTTPResponse(JournalPage(events: entries.map(JournalEvent.init), last: last))
            }
        ]
    }
}

extension JournalEvent {
    init(_ entry: JournalEntry) {
        self.init(
            number: entry.number, time: entry.time, vgpu: entry.instance.map { "\($0)" }, kind: entry.kind,
            message: entry.message)
    }
}
