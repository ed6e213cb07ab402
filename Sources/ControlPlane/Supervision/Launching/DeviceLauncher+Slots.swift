import Control
import Linux
import Mediation
import XenSlot

extension DeviceLauncher {
    /// Has a process give up what another one, which has ended, may have left in a slot: Xen keeps the server of one
    /// that was killed, and a virtual processor that has asked it something waits. In a domain that is gone nothing is
    /// left.
    ///
    /// It waits for that process, on the calling thread.
    ///
    /// - Parameter limit: how long the process may take; then it is killed.
    func release(_ slot: DomainSlot, within limit: Duration) throws(MediationError) {
        var release = SlotRelease(slot)
        release.isSandboxed = true
        let (outcome, lastWords): (ProcessOutcome, Substring?)
        do throws(Errno) { (outcome, lastWords) = try run(release, within: limit) } catch {
            throw MediationError(.failed, "No process can release \(slot): \(error).")
        }
        guard outcome != .status(0), outcome != .status(DeviceArguments.noDomain) else { return }
        throw MediationError(
            .failed, "The process that releases \(slot) ended \(outcome): \(lastWords ?? "It said nothing.")")
    }

    private func run(
        _ release: SlotRelease, within limit: Duration
    ) throws(Errno) -> (ProcessOutcome, lastWords: Substring?) {
        // No more is taken of what it says than this holds.
        let said = try MemoryFile(name: "release", size: Self.wordsLimit)
        let process = try ChildProcess.spawn(
            program, release.words, passing: [], without: Self.withheldVariables, standardError: said.descriptor.raw)
        do throws(Errno) {
            let handle = try ProcessHandle(process)
            guard try waitReadable([handle.descriptor.raw], within: limit)[0] else { throw .timedOut }
        } catch {
            end(process)
            throw error
        }
        let outcome = ProcessOutcome(takenOf: process)
        let words = try said.descriptor.readBytes(at: 0, upTo: Self.wordsLimit).prefix { $0 != 0 }
        return (outcome, String(decoding: words, as: UTF8.self).split(separator: "\n").last)
    }

    private static let wordsLimit = 4096
}
