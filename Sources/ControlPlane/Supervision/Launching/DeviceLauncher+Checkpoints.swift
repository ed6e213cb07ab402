import Control
import Linux
import Mediation

extension DeviceLauncher {
    /// Has a process in a vGPU's control group bring its state to the disk, unless it is what was saved before. Until
    /// all of it is there, that stays.
    ///
    /// It waits for the disk, on the calling thread.
    ///
    /// - Parameter limit: how long that process may take; then it is killed.
    func keep(_ state: AttachedFile, of id: InstanceID, within limit: Duration) throws(Failure) {
        let path = directories.savedState(of: id)
        let outcome: ProcessOutcome
        do throws(Errno) {
            let file = try FileReplacement(path: path, mode: 0o600)
            outcome = try keep(state, of: id, in: file.descriptor, path, within: limit)
            if outcome == .status(CheckpointWriter.written) { try file.putInPlace() }
        } catch {
            throw Failure(step: "write '\(path)'", error: error)
        }
        switch outcome {
        case .status(CheckpointWriter.written), .status(CheckpointWriter.unchanged): break
        case .status(let error): throw Failure(step: "write '\(path)'", error: Errno(rawValue: error))
        case .signal, .unknown:
            throw Failure(step: "write '\(path)', as the process for it ended \(outcome)", error: .interrupted)
        }
    }

    private func keep(
        _ state: AttachedFile, of id: InstanceID, in file: borrowing Descriptor, _ path: String, within limit: Duration
    ) throws(Errno) -> ProcessOutcome {
        let before = try before(path)
        let start = try PipeEnds(blocks: true)
        let process = try ChildProcess.spawn(
            program, CheckpointWriter.words(size: state.size),
            passing: [start.reader.raw, state.descriptor.raw, file.raw, before.raw], without: Self.withheldVariables)
        do throws(Errno) {
            let handle = try ProcessHandle(process)
            // Before it does anything, so that nothing is charged to the daemon.
            try groups?.add(process, to: id)
            let byte: [UInt8] = [1]
            try start.writer.writeAll(byte.span.bytes)
            guard try waitReadable([handle.descriptor.raw], within: limit)[0] else { throw .timedOut }
        } catch {
            end(process)
            throw error
        }
        return ProcessOutcome(takenOf: process)
    }

    /// What was saved before; nothing, where nothing was.
    private func before(_ path: String) throws(Errno) -> Descriptor {
        do throws(Errno) { return try Descriptor(reading: path) } catch {
            guard error == .noSuchFileOrDirectory else { throw error }
            return try Descriptor(reading: "/dev/null")
        }
    }
}
