import Control
import DaemonAPI
import DaemonClient
import Linux
import Mediation
import Tap

/// What was recorded before.
extension TraceCommand {
    func showRecorded() throws {
        if let id = InstanceID(target.socket) { return try showRecorded(of: id, RecordedProcess.allCases) }
        if let kept = keptEvents { return try show(kept) }
        try target.withClient { client in
            let type = try client.info().type
            let events = try reader(try client.recorder().bytes(), of: "the device process")
            let names = names(ofType: type)
            let files = try TraceFiles(self, names, ofType: type)
            var watcher = try TraceWatcher(events, names, self, files: files)
            try watcher.finish(theWriterHasEnded: false)
            try files?.finish()
        }
    }

    /// What `mediated run` has left of a process that died; nil where another runs, or none has died.
    private var keptEvents: KeptEvents? {
        let control = target.control ?? ControlClient.path(besides: target.socket)
        guard let kept = try? KeptEvents(reading: KeptEvents.path(besides: control)),
            (try? ControlClient(connectingTo: control)) == nil
        else { return nil }
        return kept
    }

    private func show(_ kept: KeptEvents) throws {
        let names = names(ofType: kept.type)
        let files = try TraceFiles(self, names, ofType: kept.type)
        if json {
            Output.print(json: ["process": "dead"], onOneLine: true)
        } else {
            Output.print("Of \(RecordedProcess.dead.words):")
        }
        var watcher = try TraceWatcher(
            try reader(kept.memory, of: RecordedProcess.dead.words), names, self, files: files)
        try watcher.finish(theWriterHasEnded: true)
        try files?.finish()
    }

    /// What is kept of a process that died, before what comes; nothing where none did.
    func showDead() throws {
        guard let id = InstanceID(target.socket), perfetto == nil, plot == nil else { return }
        try showRecorded(of: id, [.dead])
    }

    /// Of a vGPU of the daemon's: first of the process that died last, if one did, then of the one that runs.
    private func showRecorded(of id: InstanceID, _ processes: [RecordedProcess]) throws {
        let client = try DaemonClient(path: target.daemon.directories().daemon)
        do {
            // Its type may be an administrator's own. Its device process, if there is one, names its device.
            let vgpu = try client.vgpu(id)
            let info = try? client.get("/v1/vgpus/\(id)/info", as: ControlInfo.self)
            let type = info?.type ?? vgpu.type
            let names = names(ofType: type)
            let files = try TraceFiles(self, names, ofType: type)
            var shown: Int?
            for process in processes {
                let bytes: [UInt8]
                do { bytes = try client.recording(of: id, process) } catch {
                    // None need have died; and where one has, none need run.
                    if process == .dead || shown != nil { continue }
                    throw error
                }
                // One that was taken over hides nothing of the others.
                guard let events = try? reader(bytes, of: process.words) else {
                    StandardError.print("mediated: What is kept of \(process.words) can't be read.")
                    continue
                }
                if json { Output.print(json: ["process": .string(process.rawValue)], onOneLine: true) }
                if !json, !summary || process == .dead || shown != nil { Output.print("Of \(process.words):") }
                var watcher = try TraceWatcher(events, names, self, files: files, shown: shown ?? 0)
                try watcher.finish(theWriterHasEnded: process == .dead)
                shown = watcher.shown
            }
            try files?.finish()
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

/// Of which of a vGPU's processes the daemon has kept something.
enum RecordedProcess: String, CaseIterable {
    case dead, running

    var words: String { self == .dead ? "the device process that died" : "the one that runs" }
}

extension DaemonClient {
    /// The memory of a flight recorder, as `EventReader` reads it.
    func recording(of id: InstanceID, _ process: RecordedProcess) throws(DaemonClientError) -> [UInt8] {
        try bytes("/v1/vgpus/\(id)/recorder?of=\(process.rawValue)")
    }
}
