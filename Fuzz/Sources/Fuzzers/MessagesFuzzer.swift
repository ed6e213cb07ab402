import FakeGuest
import FuzzSupport
import Linux
import VFIO

/// Sends what a client may send, and anything else, to a served device.
final class MessagesFuzzer: FuzzTarget {
    private let server: PlainServer
    private let memory: MemoryFile
    private let bell: EventFD
    private(set) var reach: Reach<String>
    /// Of the device's next command to the client.
    private var nextAsked: UInt16 = 1

    private static let ends = ["left", "unreadable", "refused at the beginning"]
    private static let offers = [
        RawClient.offer,
        #"{"capabilities":{"max_msg_fds":8,"twin_socket":{"supported":true},"migration":{"pgsize":4096}}}"#,
        #"{"capabilities":{"max_data_xfer_size":16,"write_multiple":true}}"#, "{}", "",
    ]
    private static let askedOfClients: [Command] = [.dmaRead, .dmaWrite]

    init() throws {
        server = try PlainServer("exerciser")
        memory = try MemoryFile(name: "guest", size: 1 << 16)
        bell = try EventFD()
        let served = Command.allCases.filter { !Self.askedOfClients.contains($0) }
        reach = Reach(
            served.map { "\($0) carried out" } + Command.allCases.map { "\($0) refused" }
                + ["unknown command refused", "command to the client"] + Self.ends)
    }

    func run(_ input: inout Input) throws {
        let client = try server.client()
        var commands: [UInt16: UInt16] = [:]
        nextAsked = 1
        do throws(Errno) {
            try greet(client, &input, &commands)
            while !input.isEmpty { try step(client, &input, &commands) }
        } catch {
            guard error == .timedOut else { throw error }
        }
        client.end()
        let reason = try server.serve()
        reach.note(
            reason.contains("closed") ? Self.ends[0] : reason.contains("agreed") ? Self.ends[2] : Self.ends[1])
        takeReplies(client, commands)
    }

    private func greet(_ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]) throws(Errno) {
        let shape = input.byte()
        let text: [UInt8]
        switch shape & 7 {
        case 6: text = Self.text(input.pick(Self.offers))
        case 7 where shape & 8 == 0: text = input.take(Int(input.byte() & 0x3f))
        // Mostly as QEMU does.
        default: text = Self.text(RawClient.offer)
        }
        let major: UInt16 = shape & 0x0f == 0x0f ? 1 : 0
        try send(.version, wire(major, UInt16(0)) + text, client, &commands)
    }

    private static func text(_ offer: String) -> [UInt8] { offer.isEmpty ? [] : Array(offer.utf8) + [0] }

    private func step(_ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]) throws(Errno) {
        let kind = input.byte()
        switch kind & 0x1f {
        case 0: try client.send(input.take(Int(input.byte())))
        case 1:
            // Any payload.
            let command = input.byte() % 20
            try send(
                UInt16(command), input.take(Int(input.byte())), client, &commands, flags: kind & 0x80 == 0 ? 0 : 0x10)
        case 2...7: try access(kind, client, &input, &commands)
        case 8, 9: try map(kind, client, &input, &commands)
        case 10: try send(.dmaUnmap, unmapping(kind, &input), client, &commands)
        case 11:
            // The whole answer, or too little room for it.
            let size = UInt32(kind & 0x80 == 0 ? 16 : 8)
            try send(.deviceGetInfo, wire(size, UInt32(0), UInt32(0), UInt32(0)), client, &commands)
        case 12:
            let size = UInt32(kind & 0x80 == 0 ? 32 : 256)
            try send(
                .deviceGetRegionInfo, wire(size, UInt32(0), UInt32(input.byte() & 15), UInt32(0), UInt64(0), UInt64(0)),
                client, &commands)
        case 13:
            try send(
                .deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), UInt32(input.byte() & 15), UInt32(0)), client,
                &commands)
        case 14:
            try send(
                .deviceGetIRQInfo, wire(UInt32(16), UInt32(0), UInt32(input.byte() & 7), UInt32(0)), client, &commands)
        case 15, 16: try setInterrupts(client, &input, &commands)
        case 17: try send(.deviceReset, [], client, &commands)
        case 18: try writeMultiple(client, &input, &commands)
        case 19, 20: try feature(kind, client, &input, &commands)
        case 21...24: try migrate(kind, client, &input, &commands)
        case 25...28: try transfer(kind, client, &input, &commands)
        default: try client.send(message(.dmaRead, id: UInt16(input.byte()), input.take(16), flags: .reply))
        }
    }

    // MARK: Messages

    private func access(
        _ kind: UInt8, _ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]
    ) throws(Errno) {
        let place = input.byte()
        // Configuration space, or BAR 0 and 2.
        let region = UInt32(place & 0x80 == 0 ? 0 : place & 0x40 == 0 ? 7 : place & 0x0f)
        let offset = place & 0x80 == 0 ? UInt64(place) : input.number(bytes: kind & 0x40 == 0 ? 1 : 8)
        let count = UInt32(kind & 0x20 == 0 ? 4 : input.number(bytes: 2))
        if kind & 1 == 0 {
            try send(.regionRead, wire(offset, region, count), client, &commands)
        } else {
            let data = input.take(Int(min(count, 64)))
            try send(.regionWrite, wire(offset, region, UInt32(data.count)) + data, client, &commands)
        }
    }

    private func map(
        _ kind: UInt8, _ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]
    ) throws(Errno) {
        let shape = input.byte()
        let address = UInt64(shape & 7) << 12
        let size = UInt64(shape >> 3 & 3) << 12
        let mapping = wire(UInt32(32), UInt32(shape >> 5 & 3 ^ 3), UInt64(0), address, size)
        try send(
            .dmaMap, mapping, client, &commands,
            descriptors: kind & 0x80 == 0 ? [memory.descriptor.raw] : kind & 0x40 == 0 ? [] : [bell.descriptor.raw])
    }

    private func unmapping(_ kind: UInt8, _ input: inout Input) -> [UInt8] {
        let shape = input.byte()
        if kind & 0x80 != 0 { return wire(UInt32(24), UInt32(2), UInt64(0), UInt64(0)) }
        let (address, size) = (UInt64(shape & 7) << 12, UInt64(shape >> 3 & 3) << 12)
        guard kind & 0x40 != 0 else { return wire(UInt32(24), UInt32(0), address, size) }
        return wire(UInt32(24 + 16 + 8), UInt32(1), address, size, UInt64(4096), UInt64(8))
    }

    private func setInterrupts(
        _ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]
    ) throws(Errno) {
        let shape = input.byte()
        let data: UInt32 = [1, 2, 4, 4][Int(shape & 3)]
        let action: UInt32 = [32, 8, 16, 32][Int(shape >> 2 & 3)]
        let (start, count) = (UInt32(input.byte() & 3), UInt32(shape >> 6 & 3))
        let header = wire(
            UInt32(20) + (data == 2 ? count : 0), data | action, UInt32(shape >> 4 & 3) + (shape == 0xff ? 2 : 0),
            start, count)
        try send(
            .deviceSetIRQs, header + (data == 2 ? input.take(Int(count)) : []), client, &commands,
            descriptors: data == 4 ? Array(repeating: bell.descriptor.raw, count: Int(count)) : [])
    }

    private func writeMultiple(
        _ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]
    ) throws(Errno) {
        let count = Int(input.byte() & 3)
        var payload = wire(UInt64(count))
        for _ in 0..<count {
            payload += wire(
                UInt64(input.byte()), UInt32(input.byte() & 7), UInt32(input.byte() & 15), input.number(bytes: 4))
        }
        try send(.regionWriteMulti, payload, client, &commands)
    }

    /// Migration's and the dirty log's.
    private func feature(
        _ kind: UInt8, _ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]
    ) throws(Errno) {
        let shape = input.byte()
        let number = UInt32(shape & 15)
        let flags: UInt32 = [1 << 16, 1 << 17, 1 << 18, 1 << 16 | 1 << 18][Int(shape >> 4 & 3)]
        let body: [UInt8] =
            switch kind & 3 {
            case 0: wire(UInt32(input.byte() & 7), UInt32(0))
            case 1: wire(UInt64(4096), UInt32(1), UInt32(0), UInt64(0), UInt64(1 << 14))
            case 2: wire(UInt64(0), UInt64(1 << 14), UInt64(4096), UInt64(0))
            default: input.take(Int(input.byte() & 63))
            }
        try send(.deviceFeature, wire(UInt32(8 + body.count + 64), flags | number) + body, client, &commands)
    }

    /// Another state of the migration, and data as it says.
    private func migrate(
        _ kind: UInt8, _ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]
    ) throws(Errno) {
        // VFIO_DEVICE_FEATURE_SET of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE; STOP, RUNNING, STOP_COPY, RESUMING.
        let state = UInt32(kind >> 5 & 3) + 1
        try send(.deviceFeature, wire(UInt32(16), UInt32(1 << 17 | 2), state, UInt32(0)), client, &commands)
        if kind & 1 == 0 {
            let count = UInt32(kind & 0x80 == 0 ? 4096 : 1 << 20)
            try send(.migrationDataRead, wire(UInt32(8) + count, count), client, &commands)
        } else {
            let data = input.take(Int(input.byte()))
            try send(.migrationDataWrite, wire(UInt32(8 + data.count), UInt32(data.count)) + data, client, &commands)
        }
    }

    /// Memory that the client keeps to itself, a transfer by the device, and the answer to what it will ask.
    private func transfer(
        _ kind: UInt8, _ client: RawClient, _ input: inout Input, _ commands: inout [UInt16: UInt16]
    ) throws(Errno) {
        let count = UInt32(input.byte() & 63)
        let address: UInt64 = 0x7000
        if kind & 0x20 == 0 {
            try send(.dmaMap, wire(UInt32(32), UInt32(3), UInt64(0), address, UInt64(4096)), client, &commands)
        }
        try write(address, at: 0x20, client, &commands)
        try write(address, at: 0x28, client, &commands)
        try write(UInt64(count), at: 0x30, client, &commands)
        // To be bus master.
        try send(
            .regionWrite, wire(UInt64(4), UInt32(7), UInt32(2), UInt16(7)), client, &commands)
        let isLoad = kind & 0x40 == 0
        try send(
            .regionWrite, wire(UInt64(0x38), UInt32(0), UInt32(4), UInt32(isLoad ? 1 : 2)), client, &commands)
        var answer = wire(address, UInt64(count))
        if isLoad { answer += [UInt8](repeating: kind, count: Int(count)) }
        if kind & 0x80 != 0 { answer = Array(answer.prefix(Int(input.byte()))) }
        try client.send(message(isLoad ? .dmaRead : .dmaWrite, id: nextAsked, answer, flags: .reply))
        nextAsked &+= 1
    }

    private func write(
        _ value: UInt64, at offset: UInt64, _ client: RawClient, _ commands: inout [UInt16: UInt16]
    ) throws(Errno) {
        try send(.regionWrite, wire(offset, UInt32(0), UInt32(8), value), client, &commands)
    }

    private func send(
        _ command: Command, _ payload: [UInt8], _ client: RawClient, _ commands: inout [UInt16: UInt16],
        descriptors: [Int32] = []
    ) throws(Errno) {
        try send(command.rawValue, payload, client, &commands, descriptors: descriptors)
    }

    private func send(
        _ command: UInt16, _ payload: [UInt8], _ client: RawClient, _ commands: inout [UInt16: UInt16],
        descriptors: [Int32] = [], flags: UInt32 = 0
    ) throws(Errno) {
        let id = UInt16(commands.count + 1)
        commands[id] = command
        try client.send(message(command: command, id: id, payload, flags: flags), descriptors: descriptors)
    }

    // MARK: Replies

    private func takeReplies(_ client: RawClient, _ commands: [UInt16: UInt16]) {
        for header in client.receiveHeaders() {
            guard header.flags.contains(.reply) else {
                reach.note("command to the client")
                continue
            }
            guard let number = commands[header.id] else { continue }
            guard let command = Command(rawValue: number) else {
                reach.note("unknown command refused")
                continue
            }
            reach.note("\(command) \(header.flags.contains(.error) ? "refused" : "carried out")")
        }
    }
}
