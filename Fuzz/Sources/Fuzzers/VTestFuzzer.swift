import CLinux
import FuzzSupport
import Linux
import ScriptedGPU
import VTest
import VirtioGPUDriver

/// Programs that say what they like, in pieces, on a vGPU that answers when it likes, and refuses. When they have gone,
/// nothing of theirs is left.
final class VTestFuzzer: FuzzTarget {
    private(set) var reach = Reach(
        ["context", "resource", "memory", "submit", "transfer", "by socket", "refused", "ended", "left", "full queue"])
    private static let programs = 3
    private static let refusals = [
        VIRTIO_GPU_RESP_ERR_UNSPEC, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
        VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    ].map(\.rawValue)

    init() {}

    func run(_ input: inout Input) throws {
        let device = ScriptedGPU()
        device.capacity = 16
        device.memoryLimit = 8
        let board = Switchboard(device)
        var programs: [Conversation] = []
        for _ in 0..<Self.programs { programs += try greet(board) }
        while !input.isEmpty {
            let number = Int(input.byte()) % programs.count
            let program = programs[number]
            switch input.byte() % 8 {
            case 0:
                device.answer(Int(input.byte()), to: board)
            case 1:
                let refused = input.pick(Self.refusals)
                device.refusal = { _ in refused }
                device.answer(1, to: board)
                device.refusal = { _ in nil }
                reach.note("refused")
            case 2:
                try flush(program, room: Int(input.byte()) * 16)
            case 3:
                board.end(program)
                reach.note("left")
                programs[number] = try greet(board)[0]
            case 4:
                program.receive(input.take(Int(input.byte())).span.bytes)
            default:
                program.receive(message(&input).span.bytes)
            }
            for program in programs { while program.ending == nil, try program.advance(by: 8) {} }
            if program.ending != nil { reach.note("ended") }
            if device.countInFlight > device.capacity - 4 { reach.note("full queue") }
            try board.tidy()
        }
        try leave(programs, board, device)
    }

    private func greet(_ board: Switchboard) throws -> [Conversation] {
        guard let program = board.begin() else { throw DriverError.device("No program is served any more.") }
        program.receive(VTestWords.hello().span.bytes)
        return [program]
    }

    /// One that means something, of small numbers.
    private func message(_ input: inout Input) -> [UInt8] {
        let handle = UInt32(input.byte() % 4)
        let size = UInt32(input.byte()) * UInt32(input.pick([0, 1, 16, 64]))
        switch input.byte() % 12 {
        case 0: return VTestWords.picture(handle)
        case 1, 2: return VTestWords.picture(handle, memory: size)
        case 3: return VTestWords.message(3, handle)
        case 4: return VTestWords.submit((0..<size % 64).map { $0 })
        case 5: return VTestWords.busyWait(waits: size % 2 == 0)
        case 6: return VTestWords.transfer2(input.pick([13, 14]), handle, offset: size)
        case 7: return VTestWords.transfer(4, handle, size: size)
        case 8: return VTestWords.transfer(5, handle, size: size) + [UInt8](repeating: 7, count: Int(size))
        case 9: return VTestWords.message(input.pick([1, 9, 10]))
        case 10: return VTestWords.message(input.pick([11, 15, 17]), size)
        default: return VTestWords.message(UInt32(input.byte()), handle, size)
        }
    }

    private func flush(_ program: Conversation, room: Int) throws {
        var room = room
        try program.flush { (bytes, _) throws(Errno) in
            let count = min(bytes.byteCount, room)
            room -= count
            return count
        }
    }

    private func leave(_ programs: [Conversation], _ board: Switchboard, _ device: ScriptedGPU) throws {
        for command in device.commands { note(command) }
        for program in programs { board.end(program) }
        repeat {
            device.answer(to: board)
            try board.tidy()
        } while device.countInFlight > 0 || board.isUntidy
        guard device.contexts.isEmpty, device.resources.isEmpty, device.memory.isEmpty, device.violations.isEmpty
        else {
            fuzzFailed(
                "\(device.contexts.count) contexts, \(device.resources.count) resources and \(device.memory.count) "
                    + "pieces of memory are left. \(device.violations)")
        }
    }

    private func note(_ command: GPUCommand) {
        switch command {
        case .createContext: reach.note("context")
        case .createResource: reach.note("resource")
        case .attachBacking: reach.note("memory")
        case .submit: reach.note("submit")
        case .transferToHost, .transferFromHost: reach.note("transfer")
        case .detachBacking: reach.note("by socket")
        default: break
        }
    }
}
