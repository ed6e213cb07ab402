import Control
import DaemonAPI
import DaemonClient
import Linux
import Mediation
import Tap

/// What was recorded before.
extension TraceCommand {
    func showRecorded() throws {
        if let id = InstanceID(target.socket) { return try showRecorded(of: id) }
        try target.withClient { client in
            let type = try client.info().type
            let events = try reader(try client.recorder().bytes(), of: "the device process")
            var watcher = try TraceWatcher(events, ofType: type, self)
            watcher.finish(theWriterHasEnded: false)
        }
    }

    /// Of a vGPU of the daemon's: first of the process that died last, if one did, then of the one that runs.
    private func showRecorded(of id: InstanceID) throws {
        let client = try DaemonClient(path: target.daemon.directories().daemon)
        do {
            // Its type may be an administrator's own. Its device process, if there is one, names its device.
            let vgpu = try client.vgpu(id)
            let info = try? client.get("/v1/vgpus/\(id)/info", as: ControlInfo.self)
            var shown: Int?
            for (whose, words) in [("dead", "the device process that died"), ("running", "the one that runs")] {
                let bytes: [UInt8]
                do { bytes = try client.bytes("/v1/vgpus/\(id)/recorder?of=\(whose)") } catch {
                    // None need have died; and where one has, none need run.
                    if whose == "dead" || shown != nil { continue }
                    throw error
                }
                // One that was taken over hides nothing of the others.
                guard let events = try? reader(bytes, of: words) else {
                    StandardError.print("mediated: What is kept of \(words) can't be read.")
                    continue
                }
                if json { Output.print(json: ["process": .string(whose)], onOneLine: true) }
                if !json, !summary || whose == "dead" || shown != nil { Output.print("Of \(words):") }
                var watcher = try TraceWatcher(events, ofType: info?.type ?? vgpu.type, self, shown: shown ?? 0)
                watcher.finish(theWriterHasEnded: whose == "dead")
                shown = watcher.shown
            }
        } catch let error as DaemonClientError {
            throw Failure(error)
        }
    }

    private func reader(_ bytes: [UInt8], of whose: String) throws -> EventReader {
        do throws(Errno) { return try EventReader(copyOf: bytes) } catch {
            throw Failure(.protocol, "What is kept of \(whose) can't be read: \(error).")
        }
    }
}
