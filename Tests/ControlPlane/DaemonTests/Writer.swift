import Foundation
import JSON
import Linux
import Synchronization

/// Changes one thing after another, from a thread of its own, until the daemon is gone.
final class Writer: Sendable {
    /// What a vGPU is to be.
    struct Expected: Equatable {
        var attributes: JSON
        var isRunning: Bool

        init(_ vgpu: JSON) {
            attributes = vgpu["attributes"] ?? .null
            isRunning = vgpu["state"] == "running"
        }
    }

    /// A change that was asked for; nil stands for a vGPU that isn't there.
    struct Change {
        let id: String
        let before, after: Expected?
    }

    struct Told {
        var acknowledged: [String: Expected]
        /// What was asked for last, and not answered.
        var open: Change?
    }

    private let told: Mutex<Told>
    private let thread = Mutex<Linux.Thread?>(nil)

    init(_ socket: String, _ known: [String: Expected]) throws {
        told = Mutex(Told(acknowledged: known))
        let started = try Linux.Thread(name: "writer") { [self] in while changeSomething(socket) {} }
        thread.withLock { $0 = started }
    }

    func finish() -> Told {
        thread.withLock { $0.take() }?.join()
        return told.withLock { $0 }
    }

    /// - Returns: false when the daemon didn't answer.
    private func changeSomething(_ socket: String) -> Bool {
        let known = told.withLock { $0.acknowledged }
        let (change, method, path, body) = Self.next(known)
        told.withLock { $0.open = change }
        guard
            let answer = try? HTTPExchange(
                method, path, body: body.map { Array($0.text.utf8) },
                contentType: body == nil ? nil : "application/json",
                over: socket), (200..<300).contains(answer.status)
        else { return false }
        told.withLock { told in
            told.acknowledged[change.id] = change.after
            told.open = nil
        }
        return true
    }

    private static func next(_ known: [String: Expected]) -> (Change, String, String, JSON?) {
        let weight = JSON.string("\(Int.random(in: 1...10_000))")
        guard known.count >= 4, let (id, before) = known.randomElement() else {
            let id = UUID().uuidString.lowercased()
            let attributes: JSON = ["weight": weight]
            let after = Expected(["attributes": attributes, "state": "stopped"])
            return (
                Change(id: id, before: nil, after: after), "POST", "/v1/vgpus",
                ["uuid": .string(id), "parent": "cpu", "type": "exerciser", "attributes": attributes]
            )
        }
        var after = before
        switch Int.random(in: 0..<4) {
        case 0 where !before.isRunning:
            return (Change(id: id, before: before, after: nil), "DELETE", "/v1/vgpus/\(id)", nil)
        case 1, 2:
            after.attributes = ["weight": weight]
            return (
                Change(id: id, before: before, after: after), "PATCH", "/v1/vgpus/\(id)",
                ["attributes": after.attributes]
            )
        default:
            after.isRunning.toggle()
            let verb = after.isRunning ? "start" : "stop"
            return (Change(id: id, before: before, after: after), "POST", "/v1/vgpus/\(id)/\(verb)", nil)
        }
    }
}
