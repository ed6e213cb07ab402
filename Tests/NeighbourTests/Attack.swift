import Control
import FakeGuest
import Glibc
import Linux
import PCI
import SeededRandom
import Testing
import VFIO

/// Something that a client, or a crowd of them, does to a device process so that it runs out of something.
struct Attack: Sendable, CustomTestStringConvertible {
    let name: String
    /// How often it is done.
    let rounds: Int
    /// One round. The process may end the connection at any time; all else that is thrown is a finding.
    let carryOut: @Sendable (VirtualGPU, inout SplitMix) throws -> Void

    init(_ name: String, rounds: Int = 1, _ carryOut: @escaping @Sendable (VirtualGPU, inout SplitMix) throws -> Void) {
        self.name = name
        self.rounds = rounds
        self.carryOut = carryOut
    }

    var testDescription: String { name }

    func run(on gpu: VirtualGPU, seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for _ in 0..<rounds {
            do {
                try carryOut(gpu, &random)
            } catch let error as Errno where error == .brokenPipe || error == .connectionReset {
            } catch ControlClientError.closed {
            }
        }
    }

    static let all = descriptors + memory + messages + connections
}

// MARK: Descriptors and maps

extension Attack {
    private static let descriptors = [
        Attack("thousands of files", rounds: 2) { gpu, _ in
            let client = try gpu.client()
            for number in 0..<3000 as Range<UInt64> {
                let file = try MemoryFile(name: "one of many", size: 4096)
                try client.map(file.descriptor.raw, at: number << 12, size: 4096)
            }
        },
        Attack("more files than there may be") { gpu, _ in
            let client = try gpu.client()
            var number: UInt64 = 0
            let error = #expect(throws: Errno.self) {
                while number <= ResourceLimit.mappedFiles {
                    let file = try MemoryFile(name: "one too many", size: 4096)
                    let map = DMAMap(flags: [.read, .write], address: number << 12, length: 4096)
                    let reply = try client.call(.dmaMap, wire(map.write), descriptors: [file.descriptor.raw])
                    if let errno = reply.errno { throw errno }
                    number += 1
                }
            }
            #expect(error == .tooManyOpenFiles)
            #expect(number > 400)
            // All else has as many descriptors as ever: interrupts and doorbells here, connections of the owner's.
            try client.setInterrupts((0..<8).map { _ in try EventFD() })
            let doorbells = wire(UInt32(96), UInt32(0), UInt32(0), UInt32(0))
            #expect(try client.call(.deviceGetRegionIOFDs, doorbells).files.count == 2)
        },
        Attack("as many maps as there may be, and one more") { gpu, _ in
            let client = try gpu.client()
            let map = { (number: UInt64) in
                wire(DMAMap(flags: [.read, .write], address: number << 13, length: 4096).write)
            }
            for number in 0..<65_535 as Range<UInt64> { try client.send(.dmaMap, map(number), flags: .noReply) }
            #expect(try client.call(.dmaMap, map(65_535)).errno == .noSpace)
        },
        Attack("one file in maps that come, grow and go", rounds: 2) { gpu, _ in
            let client = try gpu.client()
            for number in 1...2000 as ClosedRange<UInt64> {
                // A new file now and then; each map shows more of it than the one before, at another place.
                let file = try MemoryFile(name: "growing", size: Int(number % 64 + 1) << 12)
                try client.map(file.descriptor.raw, at: number << 32, size: UInt64(file.size))
                try client.map(file.descriptor.raw, at: number << 32 | 1 << 24, size: 4096)
                guard number % 2 == 0 else { continue }
                let unmap = DMAUnmap(address: number << 32, length: UInt64(file.size))
                try client.send(.dmaUnmap, wire(unmap.write), flags: .noReply)
            }
        },
        Attack("eventfds again and again", rounds: 2) { gpu, _ in
            let client = try gpu.client()
            for kind in [InterruptKind.msix, .msi, .intx] {
                let count = kind == .intx ? 1 : 8
                for _ in 0..<200 {
                    for action in kind == .intx ? [IRQSet.Action.trigger, .mask, .unmask] : [.trigger] {
                        let events = try (0..<count).map { _ in try EventFD() }
                        let set = IRQSet(kind: kind, count: UInt32(count), data: .eventfd, action: action)
                        _ = try client.call(
                            .deviceSetIRQs, wire(set.write), descriptors: events.map { $0.descriptor.raw })
                    }
                }
                let off = IRQSet(kind: kind, count: 0, data: .none, action: .trigger)
                _ = try client.call(.deviceSetIRQs, wire(off.write))
            }
        },
        Attack("files with messages that need none", rounds: 2) { gpu, _ in
            let client = try gpu.client()
            let file = try MemoryFile(name: "unwanted", size: 4096)
            let many = Array(repeating: file.descriptor.raw, count: 64)
            for _ in 0..<200 {
                let reply = try client.call(.deviceGetInfo, wire(UInt32(16), UInt32(0), UInt64(0)), descriptors: many)
                #expect(reply.errno == .invalidArgument)
            }
            // And with each byte of a message that never ends.
            for byte in message(.regionRead, [0], size: 4096) { try client.send([byte], descriptors: many) }
        },
        Attack("descriptors asked for again and again", rounds: 2) { gpu, _ in
            let client = try gpu.client()
            for _ in 0..<200 {
                for region in 0..<9 as Range<UInt32> {
                    _ = try client.call(
                        .deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), region, UInt32(0)))
                    _ = try client.call(
                        .deviceGetRegionInfo, wire(UInt32(4096), UInt32(0), region, UInt32(0), UInt64(0), UInt64(0)))
                }
                _ = try client.negotiate(Self.everything)
            }
        },
        Attack("rings and twin sockets", rounds: 100) { gpu, _ in
            let client = try RawClient(path: gpu.socket)
            _ = try client.negotiate(everything)
            _ = try client.negotiate(everything)
        },
        Attack("descriptors that nobody takes", rounds: 1) { gpu, _ in
            // What the process sends and nobody receives counts for its user, long after the session.
            var crowd: [RawClient] = []
            for _ in 0..<100 {
                // Behind those that have left too much it takes no further one.
                guard let socket = try? UnixSocket(connectingTo: gpu.socket, within: .milliseconds(100)) else { break }
                let client = try RawClient(socket)
                crowd.append(client)
                try client.send(.version, wire(UInt16(0), UInt16(0)) + Array(everything.utf8) + [0])
                for _ in 0..<100 {
                    try client.send(
                        .deviceGetRegionInfo,
                        wire(UInt32(4096), UInt32(0), UInt32(2), UInt32(0), UInt64(0), UInt64(0)))
                }
                shutdown(client.socket.descriptor.raw, Int32(SHUT_WR))
            }
        },
    ]

    private static let everything = """
        {"capabilities":{"max_msg_fds":64,"max_data_xfer_size":1048576,"twin_socket":{"supported":true},\
        "access_ring":{"version":1},"write_multiple":true}}
        """
}

// MARK: Memory

extension Attack {
    private static let memory = [
        Attack("the longest messages", rounds: 2) { gpu, _ in
            let client = try gpu.client()
            let data = [UInt8](repeating: 0xa5, count: 1 << 20)
            for _ in 0..<4 {
                _ = try client.call(.regionWrite, wire(UInt64(0), UInt32(2), UInt32(1 << 20)) + data)
                _ = try client.call(.regionRead, wire(UInt64(0), UInt32(2), UInt32(1 << 20)))
                _ = try client.call(.regionRead, wire(UInt64(0x1000), UInt32(2), UInt32(64 << 10)))
            }
            let resume = wire(UInt32(16), UInt32(2 | 1 << 17), UInt32(4), UInt32(0))
            _ = try client.call(.deviceFeature, resume)
            for _ in 0..<8 {
                _ = try client.call(.migrationDataWrite, wire(UInt32(8 + data.count), UInt32(data.count)) + data)
            }
        },
        Attack("replies that nobody reads", rounds: 4) { gpu, _ in
            let client = try gpu.client()
            let read = message(.regionRead, wire(UInt64(0x1000), UInt32(2), UInt32(64 << 10)))
            // Until the process has no room for replies, and takes no more requests.
            while try client.socket.sendAvailable(read.span.bytes) == read.count {}
        },
        Attack("a full dirty log") { gpu, random in
            let client = try gpu.client()
            let size: UInt64 = 1 << 40
            let file = try MemoryFile(name: "wide", size: Int(size))
            try client.map(file.descriptor.raw, at: 0, size: size)
            try client.map(nil, at: size, size: UInt64.max - size - 0xfff)
            let start = wire(UInt32(24), UInt32(6 | 1 << 17), UInt64(4096), UInt32(0), UInt32(0))
            #expect(try client.call(.deviceFeature, start).errno == nil)
            try client.write(UInt32(1), at: RawClient.length)
            for leaf in 0..<2000 as Range<UInt64> {
                let address = RawClient.writing(leaf << 27 | random.next() >> 40, at: RawClient.destination)
                try client.send(.regionWrite, address, flags: .noReply)
                let fill = RawClient.writing(RawClient.fill, at: RawClient.command)
                try client.send(.regionWrite, fill, flags: .noReply)
            }
            for length in [size, 1 << 63, 4096] {
                for shift in [12, 20, 40, 62] as [UInt64] {
                    let report = wire(UInt32(1 << 20), UInt32(8 | 1 << 16), UInt64(0), length, UInt64(1) << shift)
                    _ = try client.call(.deviceFeature, report)
                }
            }
            let unmap = DMAUnmap(address: 0, length: size, bitmap: .init(pageSize: 1 << 20, size: 1 << 17))
            _ = try client.call(.dmaUnmap, wire(unmap.write))
        },
        Attack("features with sizes that nothing has", rounds: 2) { gpu, _ in
            let client = try gpu.client()
            for feature in 0..<12 as Range<UInt32> {
                for operation in [1 << 16, 1 << 17, 1 << 18] as [UInt32] {
                    for size in [8, 16, 1 << 20, .max] as [UInt32] {
                        _ = try client.call(.deviceFeature, wire(size, feature | operation, UInt64.max, UInt64.max))
                    }
                }
            }
            let ranges = (0..<4096 as Range<UInt64>).flatMap { wire($0 << 13, UInt64(4096)) }
            for count in [4096, 4097, .max] as [UInt32] {
                let start = wire(UInt32(24), UInt32(6 | 1 << 17), UInt64(4096), count, UInt32(0)) + ranges
                _ = try client.call(.deviceFeature, start)
            }
        },
        Attack("version texts") { gpu, _ in
            let deep = String(repeating: "[", count: 1 << 20)
            let members = (0..<80_000).map { "\"\($0)\":0" }.joined(separator: ",")
            let marks = String(repeating: "\u{0301}\u{0323}", count: 1 << 17)
            for text in [
                deep, "{\(members)}", "{\"\(marks)\":0,\"\(marks)a\":0}", String(repeating: "9", count: 1 << 20),
            ] {
                let client = try RawClient(path: gpu.socket)
                _ = try? client.negotiate(text)
            }
        },
    ]
}

// MARK: Time

extension Attack {
    private static let messages = [
        Attack("many writes in one message") { gpu, _ in
            let client = try gpu.client()
            let memory = try GuestRAM(at: 0, size: 1 << 21)
            try client.map(memory.file.descriptor.raw, at: 0, size: 1 << 21)
            try client.write(UInt64(1) << 20, at: RawClient.destination)
            try client.write(UInt32(1) << 20, at: RawClient.length)
            let copy = wire(RawClient.command, UInt32(0), UInt32(4), UInt64(RawClient.copy))
            let writes = wire(UInt64(1024)) + (0..<1024).flatMap { _ in copy }
            #expect(try client.call(.regionWriteMulti, writes).errno == nil)
        },
        Attack("posted messages without end") { gpu, _ in
            let client = try gpu.client()
            let write = RawClient.writing(UInt32(1), at: RawClient.scratch)
            let many = (0..<500).flatMap { _ in message(.regionWrite, write, flags: .noReply) }
            for _ in 0..<200 { try client.send(many) }
            _ = try client.read(UInt32.self, at: RawClient.scratch)
        },
        Attack("memory accesses that nobody answers", rounds: 5) { gpu, _ in
            let client = try gpu.client()
            try client.map(nil, at: 0, size: 1 << 20)
            try client.write(UInt32(1) << 20, at: RawClient.length)
            try client.send(.regionWrite, RawClient.writing(RawClient.fill, at: RawClient.command))
            _ = try client.receive()
        },
        Attack("resets", rounds: 2) { gpu, _ in
            let client = try gpu.client()
            for _ in 0..<2000 { try client.send(.deviceReset, flags: .noReply) }
            _ = try client.read(UInt32.self, at: RawClient.scratch)
        },
    ]
}

// MARK: Connections

extension Attack {
    private static let connections = [
        Attack("half messages and silence", rounds: 100) { gpu, _ in
            let silent = try RawClient(path: gpu.socket)
            let half = try RawClient(path: gpu.socket)
            try half.send([1, 0, 1, 0, 0])
            let whole = try RawClient(path: gpu.socket)
            _ = try whole.negotiate()
            try whole.send(message(.regionWrite, [1, 2, 3], size: 1 << 20))
            withExtendedLifetime(silent) {}
        },
        Attack("a storm of second clients", rounds: 2) { gpu, _ in
            let first = try gpu.client()
            var crowd: [RawClient] = []
            for number in 0..<200 {
                let client = try RawClient(path: gpu.socket)
                if number % 3 > 0 { try client.send(Array(message(.version, Array(everything.utf8)).prefix(number))) }
                crowd.append(client)
            }
            _ = try first.read(UInt32.self, at: RawClient.scratch)
        },
        Attack("a storm on the control socket", rounds: 2) { gpu, _ in
            var crowd: [RawClient] = []
            for number in 0..<60 {
                let client = try RawClient(path: gpu.controlSocket)
                let events = "{\"version\":1,\"request\":\"events\",\"after\":1000000000}\n"
                let save = String(repeating: "{\"version\":1,\"request\":\"save\"}\n", count: 50)
                let text = [events, save, "{\"version\"", String(repeating: "x", count: 5000)][number % 4]
                // The process may have made room for others.
                try? client.send(Array(text.utf8))
                crowd.append(client)
            }
            withExtendedLifetime(crowd) {}
        },
    ]
}
