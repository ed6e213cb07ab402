import CLinux
import Linux
import VTest
import VirtioGPUDriver

/// Programs that say what they like, in pieces, on a vGPU that answers when it likes, and refuses. Who draws the lots
/// decides: a generator of random numbers, or a fuzzer's bytes.
public final class HostilePrograms {
    /// What was done, for whoever wants to know whether all of it is reached.
    public enum Deed: String, CaseIterable {
        case context, resource, memory, submit, transfer, bySocket, refused, ended, left, fullQueue
    }

    public let device = ScriptedGPU()
    /// Called for each deed.
    public var note: (Deed) -> Void = { _ in }
    private let board: Switchboard
    private var programs: [Conversation] = []

    private static let refusals = [
        VIRTIO_GPU_RESP_ERR_UNSPEC, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
        VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    ].map(\.rawValue)

    /// - Parameter count: of programs at a time.
    public init(_ count: Int = 3) {
        device.capacity = 16
        device.memoryLimit = 8
        board = Switchboard(device)
        for _ in 0..<count { greet() }
    }

    private func greet() {
        guard let program = board.begin(1) else { return }
        program.receive(VTestWords.hello().span.bytes)
        programs.append(program)
    }

    /// One of them does something, and all that can go on does.
    public func step(using lots: inout some RandomNumberGenerator) throws(DriverError) {
        let number = pick(programs.count, &lots)
        let program = programs[number]
        switch pick(8, &lots) {
        case 0: device.answer(pick(16, &lots), to: board)
        case 1:
            let refused = Self.refusals[pick(Self.refusals.count, &lots)]
            device.refusal = { $0.takesAway ? nil : refused }
            device.answer(1, to: board)
            device.refusal = { _ in nil }
            note(.refused)
        case 2: flush(program, room: pick(256, &lots) * 16)
        case 3:
            board.end(program)
            programs.remove(at: number)
            greet()
            note(.left)
        case 4: program.receive(bytes(&lots).span.bytes)
        default: program.receive(message(&lots).span.bytes)
        }
        for program in programs {
            while program.ending == nil, try program.advance(by: 8) {}
            if program.ending != nil { note(.ended) }
        }
        if device.countInFlight > device.capacity - 4 { note(.fullQueue) }
        try board.tidy()
    }

    /// All of them go.
    ///
    /// - Returns: what is left of them that must not be, or was done that no driver may do; nil: nothing.
    public func leave() throws(DriverError) -> String? {
        for command in device.commands { note(of: command) }
        for program in programs { board.end(program) }
        repeat {
            device.answer(to: board)
            try board.tidy()
        } while device.countInFlight > 0 || board.isUntidy
        guard device.contexts.isEmpty, device.resources.isEmpty, device.memory.isEmpty, device.violations.isEmpty
        else {
            return "\(device.contexts.count) contexts, \(device.resources.count) resources and "
                + "\(device.memory.count) pieces of memory are left. \(device.violations)"
        }
        return nil
    }

    private func pick(_ count: Int, _ lots: inout some RandomNumberGenerator) -> Int {
        Int(truncatingIfNeeded: lots.next() % UInt64(max(1, count)))
    }

    private func bytes(_ lots: inout some RandomNumberGenerator) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<pick(64, &lots) { bytes.append(UInt8(pick(256, &lots))) }
        return bytes
    }

    /// One that means something, of small numbers.
    private func message(_ lots: inout some RandomNumberGenerator) -> [UInt8] {
        let handle = UInt32(pick(4, &lots))
        let size = UInt32(pick(256, &lots) * [0, 1, 16, 64][pick(4, &lots)])
        switch pick(13, &lots) {
        case 0: return VTestWords.picture(handle)
        case 1, 2: return VTestWords.picture(handle, memory: size)
        case 3: return VTestWords.message(3, handle)
        case 4: return VTestWords.submit((0..<size % 64).map { $0 })
        case 5: return VTestWords.busyWait(waits: size % 2 == 0)
        case 6: return VTestWords.transfer2([13, 14][pick(2, &lots)], handle, offset: size)
        case 7: return VTestWords.transfer(4, handle, size: size)
        case 8: return VTestWords.transfer(5, handle, size: size) + [UInt8](repeating: 7, count: Int(size))
        case 9: return VTestWords.message([1, 9, 10][pick(3, &lots)])
        case 10: return VTestWords.message([11, 15, 17][pick(3, &lots)], size)
        case 11:
            // A command of a stream, with resources in it, whole or cut off.
            let length = UInt32(pick(24, &lots))
            var words: [UInt32] = []
            for _ in 0..<length { words.append(UInt32(pick(5, &lots))) }
            let header =
                (length + UInt32(pick(2, &lots))) << 16 | UInt32(pick(12, &lots)) << 8 | UInt32(pick(64, &lots))
            return VTestWords.submit([header] + words)
        default: return VTestWords.message(UInt32(pick(256, &lots)), handle, size)
        }
    }

    private func flush(_ program: Conversation, room: Int) {
        var room = room
        // What is sent here fails at nothing.
        try? program.flush { (bytes, _) throws(Errno) in
            let count = min(bytes.byteCount, room)
            room -= count
            return count
        }
    }

    private func note(of command: GPUCommand) {
        switch command {
        case .createContext: note(.context)
        case .createResource: note(.resource)
        case .attachBacking: note(.memory)
        case .submit: note(.submit)
        case .transferToHost, .transferFromHost: note(.transfer)
        case .detachBacking: note(.bySocket)
        default: break
        }
    }
}

extension GPUCommand {
    /// Whether it takes something away: no device refuses that for what is there.
    fileprivate var takesAway: Bool {
        switch self {
        case .destroyContext, .destroyResource, .detachBacking: true
        default: false
        }
    }
}
