import FuzzSupport
import Linux
import SharedRing

@testable import Renderer
@testable import Worker

/// A renderer whose device process was taken over, which is worth little: all that it can lose is what that process
/// has. It must end all the same, and not do what it was not asked.
enum HostileDeviceProcess {
    /// - Returns: how many commands have arrived.
    static func run(_ input: inout Input) throws -> Int {
        let shape = input.byte()
        let commands = try MessageRing(capacity: WorkerLink.commandCapacity)
        let replies = try MessageRing(capacity: WorkerLink.replyCapacity)
        let (commandBell, replyBell) = (try EventFD(), try EventFD())
        let small = try MemoryFile(name: "small", size: 4096)
        let pair = try UnixSocket.pair(keepsPackets: true)
        var descriptors = [
            commands.memory.file.descriptor.raw, replies.memory.file.descriptor.raw, commandBell.descriptor.raw,
            replyBell.descriptor.raw,
        ]
        // One of them missing, or another kind of thing.
        if shape & 0x80 != 0 {
            let place = Int(shape & 3)
            if shape & 0x40 != 0 {
                descriptors.remove(at: place)
            } else {
                descriptors[place] = shape & 0x20 != 0 ? pair.first.descriptor.raw : small.descriptor.raw
            }
        }
        try WorkerLink.send(WorkerLink.hello, descriptors: descriptors, over: pair.first)
        guard var endpoint = try? WorkerEndpoint<RendererCommand, RendererReply>(pair.second) else { return 0 }
        var count = 0
        let ring = HostileRing(ring: commands, doorbell: commandBell)
        var producer = MessageProducer(commands, doorbell: commandBell)
        while !input.isEmpty {
            let action = input.byte()
            switch action & 7 {
            case 0: ring.corrupt(&input)
            case 1:
                let number = UInt32(input.number(bytes: 4))
                replies.memory.release(action & 8 == 0 ? .head : .consumerAsleep, number)
            case 2: _ = try? producer.put(kind: UInt32(action >> 3), sequence: 1, input.take(Int(input.byte())))
            case 3:
                let sequence = input.number(bytes: 1)
                _ = try? endpoint.answer(sequence, RendererReply(.done, data: input.take(Int(action))))
            case 4: _ = try? endpoint.wait(for: .period(.zero))
            case 5:
                try WorkerLink.send(
                    action & 8 == 0 ? WorkerLink.memory : input.byte(),
                    descriptors: action & 16 == 0 ? [small.descriptor.raw] : [], over: pair.first)
                let window = WindowCommand.map(window: UInt32(action >> 5), offset: 0, size: input.number(bytes: 2))
                _ = try? producer.put(window, sequence: 1)
            default:
                let (kind, payload) = RendererCommand(&input).message
                _ = try? producer.put(kind: kind, sequence: 1, payload)
            }
            do {
                while let (sequence, request) = try endpoint.next() {
                    switch request {
                    case .command(let command): checkRoundTrip(command)
                    case .unmap(let window): try endpoint.finishUnmap(of: window, sequence)
                    }
                    count += 1
                }
            } catch {
                // The worker ends.
                return count
            }
        }
        return count
    }

    /// Reads bytes as a command. What is one has one form only.
    ///
    /// - Returns: whether they are one.
    static func readCommand(_ input: inout Input) -> Bool {
        // One that is right but for some bytes, or any.
        let shape = input.byte()
        var (kind, payload) =
            shape & 0x80 == 0 ? RendererCommand(&input).message : (UInt32(shape & 0x1f), input.take(.max))
        for _ in 0..<(shape & 3) where !payload.isEmpty && shape & 0x80 == 0 {
            payload[Int(input.byte()) % payload.count] = input.byte()
        }
        if shape & 0x60 == 0x60 { kind = UInt32(input.byte()) }
        _ = RendererReply(kind: kind, payload: payload)
        guard let command = RendererCommand(kind: kind, payload: payload) else { return false }
        guard command.message == (kind, payload) else { fuzzFailed("A command has two forms: \(command)") }
        return true
    }

    private static func checkRoundTrip(_ command: RendererCommand) {
        let (kind, payload) = command.message
        guard RendererCommand(kind: kind, payload: payload) == command else {
            fuzzFailed("A command is another one when it has arrived: \(command)")
        }
    }
}
