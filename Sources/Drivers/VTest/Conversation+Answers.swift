import CLinux
import Linux
import VirtioGPUDriver

/// What becomes of the vGPU's answers, and of all that is left at the end.
extension Conversation {
    /// One of the program's commands is answered.
    func take(_ response: GPUResponse, _ work: Switchboard.Work) {
        switch work {
        case .resourceGone, .contextGone, .contextMadeCurrent: return
        case .making:
            if case .making(let handle, let left, let hasFailed) = attention {
                let failed = hasFailed || !response.isDone
                attention = .making(handle, stepsLeft: left - 1, hasFailed: failed)
                if left == 1 { finishMaking(handle, hasFailed: failed) }
            }
        case .asked: if !response.isDone { end(response.reason) }
        case .transfer: take(transfer: response)
        case .returned: take(transfer: response)
        case .fetched(let memory, let count):
            take(transfer: response)
            attention = .listening
            output.add(.contents(memory, count: count))
        }
        countInFlight -= 1
        guard countInFlight == 0, case .waiting = attention else { return }
        attention = .listening
        output.add(.busyWait, 0)
    }

    /// A driver goes on after a transfer that can't be, as in a guest; not without its context.
    private func take(transfer response: GPUResponse) {
        guard !response.isDone else { return }
        let lost = [VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID].map(\.rawValue)
        if lost.contains(response.type) { return end(response.reason) }
        guard !hasComplained else { return }
        hasComplained = true
        board.report("A transfer of \(title) has failed: \(response.reason).")
    }

    private func finishMaking(_ handle: UInt32, hasFailed: Bool) {
        attention = .listening
        guard hasFailed else { return output.add(.descriptor(resources[handle]?.memory)) }
        guard let resource = forget(handle) else { return }
        // It may be there, without its memory.
        board.sayFarewell(.resource(resource.id, resource.memory, context: context ?? 0))
        output.add(.descriptor(nil))
    }

    /// Sends what the program takes now.
    ///
    /// - Parameter send: as for ``Output/flush(_:)``.
    public func flush(_ send: (RawSpan, Int32) throws(Errno) -> Int) throws(Errno) {
        for memory in try output.flush(send) { board.discard(memory) }
    }

    /// Whether something waits to be sent.
    public var hasOutput: Bool { output.count > 0 }

    /// Takes all that is the program's from the vGPU, its context last.
    func leave() {
        for handle in Array(resources.keys) {
            guard let resource = forget(handle) else { continue }
            board.sayFarewell(.resource(resource.id, resource.memory, context: context ?? 0))
        }
        if let context { board.sayFarewell(.context(context)) }
        if case .filling(let memory, _, _, _) = attention { board.discard(memory) }
        for case .contents(let memory, _) in output.pieces { board.discard(memory) }
        context = nil
        end("it has gone")
    }

    /// How a sentence calls the program: its name is its own to say.
    public var title: String {
        name.map { "'\(String(decoding: $0.prefix(64), as: UTF8.self).printable)'" } ?? "a program"
    }
}
