import FakeGuest
import FuzzSupport
import Linux
import VFIO

/// Sends what a client may send, and anything else, to a served device.
final class MessagesFuzzer: FuzzTarget {
    private let server: PlainServer
    private let memory: MemoryFile
    private let bell: EventFD
    private(set) var reach = Reach(Feature.all)
    /// The commands that were sent; the message ID of the first one is 1.
    private var commands: [UInt16] = []
    /// What is still to be sent: messages without descriptors go together, as the kernel would put them together
    /// anyway.
    private var outgoing: [UInt8] = []
    /// Of the device's next command to the client.
    private var nextAsked: UInt16 = 1

    enum Feature: Hashable, CustomStringConvertible {
        case carriedOut(Command), refused(Command)
        case unknownRefused, commandToClient
        case left, unreadable, refusedAtBeginning

        private static let askedOfClients: [Command] = [.dmaRead, .dmaWrite]

        static let all =
            Command.allCases.filter { !askedOfClients.contains($0) }.map(Feature.carriedOut)
            + Command.allCases.map(Feature.refused)
            + [.unknownRefused, .commandToClient, .left, .unreadable, .refusedAtBeginning]

        var description: String {
            switch self {
            case .carriedOut(let command): "\(command) carried out"
            case .refused(let command): "\(command) refused"
            case .unknownRefused: "unknown command refused"
            case .commandToClient: "command to the client"
            case .left: "left"
            case .unreadable: "unreadable"
            case .refusedAtBeginning: "refused at the beginning"
            }
        }
    }

    private static let offers = [
        RawClient.offer,
        #"{"capabilities":{"max_msg_fds":8,"twin_socket":{"supported":true},"migration":{"pgsize":4096}}}"#,
        #"{"capabilities":{"max_data_xfer_size":16,"write_multiple":true}}"#, "{}", "",
    ].map(text)

    init() throws {
        server = try PlainServer("exerciser")
        memory = try MemoryFile(name: "guest", size: 1 << 16)
        bell = try EventFD()
    }

    func run(_ input: inout Input) throws {
        let client = try server.client()
        commands.removeAll(keepingCapacity: true)
        outgoing.removeAll(keepingCapacity: true)
        nextAsked = 1
        do throws(Errno) {
            try greet(client, &input)
            while !input.isEmpty { try step(client, &input) }
            try flush(client)
        } catch {
            guard error == .timedOut else { throw error }
        }
        client.end()
        switch try server.serve() {
        case .left: reach.note(.left)
        case .refused: reach.note(.refusedAtBeginning)
        case .other: reach.note(.unreadable)
        }
        takeReplies(client)
    }

    private func greet(_ client: RawClient, _ input: inout Input) throws(Errno) {
        let shape = input.byte()
        let text: [UInt8]
        switch shape & 7 {
        case 6: text = input.pick(Self.offers)
        case 7 where shape & 8 == 0: text = input.take(Int(input.byte() & 0x3f))
        // Mostly as QEMU does.
        default: text = Self.offers[0]
        }
        let major: UInt16 = shape & 0x0f == 0x0f ? 1 : 0
        try send(.version, wire(major, UInt16(0)) + text, client)
    }

    private static func text(_ offer: String) -> [UInt8] { offer.isEmpty ? [] : Array(offer.utf8) + [0] }

    private func step(_ client: RawClient, _ input: inout Input) throws(Errno) {
        let kind = input.byte()
        switch kind & 0x1f {
        case 0: outgoing += input.take(Int(input.byte()))
        case 1:
            // Any payload.
            let command = input.byte() % 20
            try send(
                UInt16(command), input.take(Int(input.byte())), client, flags: kind & 0x80 == 0 ? 0 : 0x10)
        case 2...7: try access(kind, client, &input)
        case 8, 9: try map(kind, client, &input)
        case 10: try send(.dmaUnmap, unmapping(kind, &input), client)
        case 11:
            // The whole answer, or too little room for it.
            let size = UInt32(kind & 0x80 == 0 ? 16 : 8)
            try send(.deviceGetInfo, wire(size, UInt32(0), UInt32(0), UInt32(0)), client)
        case 12:
            let size = UInt32(kind & 0x80 == 0 ? 32 : 256)
            try send(
                .deviceGetRegionInfo, wire(size, UInt32(0), UInt32(input.byte() & 15), UInt32(0), UInt64(0), UInt64(0)),
                client)
        case 13:
            try send(
                .deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), UInt32(input.byte() & 15), UInt32(0)), client)
        case 14:
            try send(
                .deviceGetIRQInfo, wire(UInt32(16), UInt32(0), UInt32(input.byte() & 7), UInt32(0)), client)
        case 15, 16: try setInterrupts(client, &input)
        case 17: try send(.deviceReset, [], client)
        case 18: try writeMultiple(client, &input)
        case 19, 20: try feature(kind, client, &input)
        case 21...24: try migrate(kind, client, &input)
        case 25...28: try transfer(kind, client, &input)
        default: outgoing += message(.dmaRead, id: UInt16(input.byte()), input.take(16), flags: .reply)
        }
    }

    // MARK: Messages

    private func access(_ kind: UInt8, _ client: RawClient, _ input: inout Input) throws(Errno) {
        let place = input.byte()
        // Configuration space, or BAR 0 and 2.
        let region = UInt32(place & 0x80 == 0 ? 0 : place & 0x40 == 0 ? 7 : place & 0x0f)
        let offset = place & 0x80 == 0 ? UInt64(place) : input.number(bytes: kind & 0x40 == 0 ? 1 : 8)
        let count = UInt32(kind & 0x20 == 0 ? 4 : input.number(bytes: 2))
        if kind & 1 == 0 {
            try send(.regionRead, wire(offset, region, count), client)
        } else {
            let data = input.take(Int(min(count, 64)))
            try send(.regionWrite, wire(offset, region, UInt32(data.count)) + data, client)
        }
    }

    private func map(_ kind: UInt8, _ client: RawClient, _ input: inout Input) throws(Errno) {
        let shape = input.byte()
        let address = UInt64(shape & 7) << 12
        let size = UInt64(shape >> 3 & 3) << 12
        let mapping = wire(UInt32(32), UInt32(shape >> 5 & 3 ^ 3), UInt64(0), address, size)
        try send(
            .dmaMap, mapping, client,
            descriptors: kind & 0x80 == 0 ? [memory.descriptor.raw] : kind & 0x40 == 0 ? [] : [bell.descriptor.raw])
    }

    private func unmapping(_ kind: UInt8, _ input: inout Input) -> [UInt8] {
        let shape = input.byte()
        if kind & 0x80 != 0 { return wire(UInt32(24), UInt32(2), UInt64(0), UInt64(0)) }
        let (address, size) = (UInt64(shape & 7) << 12, UInt64(shape >> 3 & 3) << 12)
        guard kind & 0x40 != 0 else { return wire(UInt32(24), UInt32(0), address, size) }
        return wire(UInt32(24 + 16 + 8), UInt32(1), address, size, UInt64(4096), UInt64(8))
    }

    private func setInterrupts(_ client: RawClient, _ input: inout Input) throws(Errno) {
        let shape = input.byte()
        let data: UInt32 = [1, 2, 4, 4][Int(shape & 3)]
        let action: UInt32 = [32, 8, 16, 32][Int(shape >> 2 & 3)]
        let (start, count) = (UInt32(input.byte() & 3), UInt32(shape >> 6 & 3))
        let header = wire(
            UInt32(20) + (data == 2 ? count : 0), data | action, UInt32(shape >> 4 & 3) + (shape == 0xff ? 2 : 0),
            start, count)
        try send(
            .deviceSetIRQs, header + (data == 2 ? input.take(Int(count)) : []), client,
            descriptors: data == 4 ? Array(repeating: bell.descriptor.raw, count: Int(count)) : [])
    }

    private func writeMultiple(_ client: RawClient, _ input: inout Input) throws(Errno) {
        let count = Int(input.byte() & 3)
        var payload = wire(UInt64(count))
        for _ in 0..<count {
            payload += wire(
                UInt64(input.byte()), UInt32(input.byte() & 7), UInt32(input.byte() & 15), input.number(bytes: 4))
        }
        try send(.regionWriteMulti, payload, client)
    }

    /// Migration's and the dirty log's.
    private func feature(_ kind: UInt8, _ client: RawClient, _ input: inout Input) throws(Errno) {
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
        try send(.deviceFeature, wire(UInt32(8 + body.count + 64), flags | number) + body, client)
    }

    /// Another state of the migration, and data as it says.
    private func migrate(_ kind: UInt8, _ client: RawClient, _ input: inout Input) throws(Errno) {
        // VFIO_DEVICE_FEATURE_SET of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE; STOP, RUNNING, STOP_COPY, RESUMING.
        let state = UInt32(kind >> 5 & 3) + 1
        try send(.deviceFeature, wire(UInt32(16), UInt32(1 << 17 | 2), state, UInt32(0)), client)
        if kind & 1 == 0 {
            let count = UInt32(kind & 0x80 == 0 ? 4096 : 1 << 20)
            try send(.migrationDataRead, wire(UInt32(8) + count, count), client)
        } else {
            let data = input.take(Int(input.byte()))
            try send(.migrationDataWrite, wire(UInt32(8 + data.count), UInt32(data.count)) + data, client)
        }
    }

    /// Memory that the client keeps to itself, a transfer by the device, and the answer to what it will ask.
    private func transfer(_ kind: UInt8, _ client: RawClient, _ input: inout Input) throws(Errno) {
        let count = UInt32(input.byte() & 63)
        let address: UInt64 = 0x7000
        if kind & 0x20 == 0 {
            try send(.dmaMap, wire(UInt32(32), UInt32(3), UInt64(0), address, UInt64(4096)), client)
        }
        try write(address, at: 0x20, client)
        try write(address, at: 0x28, client)
        try write(UInt64(count), at: 0x30, client)
        // To be bus master.
        try send(
            .regionWrite, wire(UInt64(4), UInt32(7), UInt32(2), UInt16(7)), client)
        let isLoad = kind & 0x40 == 0
        try send(
            .regionWrite, wire(UInt64(0x38), UInt32(0), UInt32(4), UInt32(isLoad ? 1 : 2)), client)
        var answer = wire(address, UInt64(count))
        if isLoad { answer += [UInt8](repeating: kind, count: Int(count)) }
        if kind & 0x80 != 0 { answer = Array(answer.prefix(Int(input.byte()))) }
        outgoing += message(isLoad ? .dmaRead : .dmaWrite, id: nextAsked, answer, flags: .reply)
        nextAsked &+= 1
    }

    private func write(_ value: UInt64, at offset: UInt64, _ client: RawClient) throws(Errno) {
        try send(.regionWrite, wire(offset, UInt32(0), UInt32(8), value), client)
    }

    private func send(
        _ command: Command, _ payload: [UInt8], _ client: RawClient, descriptors: [Int32] = []
    ) throws(Errno) {
        try send(command.rawValue, payload, client, descriptors: descriptors)
    }

    private func send(
        _ command: UInt16, _ payload: [UInt8], _ client: RawClient, descriptors: [Int32] = [], flags: UInt32 = 0
    ) throws(Errno) {
        commands.append(command)
        let bytes = message(command: command, id: UInt16(commands.count), payload, flags: flags)
        guard !descriptors.isEmpty else { return outgoing += bytes }
        try flush(client)
        try client.send(bytes, descriptors: descriptors)
    }

    private func flush(_ client: RawClient) throws(Errno) {
        guard !outgoing.isEmpty else { return }
        defer { outgoing.removeAll(keepingCapacity: true) }
        try client.send(outgoing)
    }

    // MARK: Replies

    private func takeReplies(_ client: RawClient) {
        for header in client.receiveHeaders() {
            guard header.flags.contains(.reply) else {
                reach.note(.commandToClient)
                continue
            }
            guard header.id > 0, header.id <= commands.count else { continue }
            guard let command = Command(rawValue: commands[Int(header.id) - 1]) else {
                reach.note(.unknownRefused)
                continue
            }
            reach.note(header.flags.contains(.error) ? .refused(command) : .carriedOut(command))
        }
    }
}
