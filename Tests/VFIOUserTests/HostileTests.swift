import FakeGuest
import Linux
import Testing
import VFIO
import SeededRandom

/// Messages that nobody would send: random ones, and right ones with something changed.
@Suite struct HostileTests {
    private static let right: [[UInt8]] = [
        message(.dmaMap, wire(UInt32(32), UInt32(3), UInt64(0), UInt64(0), UInt64(4096))),
        message(.dmaUnmap, wire(UInt32(24), UInt32(0), UInt64(0), UInt64(4096))),
        message(.dmaUnmap, wire(UInt32(48), UInt32(1), UInt64(0), UInt64(4096), UInt64(4096), UInt64(8))),
        message(.deviceGetInfo, wire(UInt32(16), UInt32(0), UInt32(0), UInt32(0))),
        message(.deviceGetRegionInfo, wire(UInt32(64), UInt32(0), UInt32(2), UInt32(0), UInt64(0), UInt64(0))),
        message(.deviceGetRegionIOFDs, wire(UInt32(64), UInt32(0), UInt32(0), UInt32(0))),
        message(.deviceGetIRQInfo, wire(UInt32(16), UInt32(0), UInt32(1), UInt32(0))),
        message(.deviceSetIRQs, wire(UInt32(20), UInt32(4 | 32), UInt32(2), UInt32(0), UInt32(1))),
        message(.deviceSetIRQs, wire(UInt32(21), UInt32(2 | 8), UInt32(2), UInt32(0), UInt32(1), UInt8(1))),
        message(.regionRead, wire(UInt64(0), UInt32(0), UInt32(4))),
        message(.regionRead, wire(UInt64(0), UInt32(7), UInt32(64))),
        message(.regionWrite, wire(UInt64(0x38), UInt32(0), UInt32(4), UInt32(3))),
        message(.regionWrite, wire(UInt64(0x500), UInt32(2), UInt32(4), UInt32(1))),
        message(.regionWrite, wire(UInt64(4), UInt32(7), UInt32(2), UInt16(7))),
        message(.regionWriteMulti, wire(UInt64(1), UInt64(8), UInt32(0), UInt32(8), UInt64(0))),
        message(.deviceReset),
        message(.deviceFeature, wire(UInt32(16), UInt32(2 | 1 << 17), UInt32(4), UInt32(0))),
        message(.deviceFeature, wire(UInt32(40), UInt32(8 | 1 << 16), UInt64(0), UInt64(4096), UInt64(4096))),
        message(.deviceFeature, wire(UInt32(24), UInt32(6 | 1 << 17), UInt64(4096), UInt32(0), UInt32(0))),
        message(.migrationDataRead, wire(UInt32(72), UInt32(64))),
        message(.migrationDataWrite, wire(UInt32(12), UInt32(4), UInt32(0))),
        message(.version, wire(UInt16(0), UInt16(0))),
    ]

    private static func hostile(_ random: inout SplitMix) -> [UInt8] {
        var bytes = right[Int(random.next() % UInt64(right.count))]
        let kind = random.next() % 16
        if kind == 0 {
            bytes = wire(UInt16(0), UInt16(random.next() % 20), UInt32(0), UInt64(0))
            for _ in 0..<random.next() % 8 { bytes += wire(random.next()) }
        } else {
            for _ in 0..<random.next() % 4 {
                let position = 8 + Int(random.next() % UInt64(bytes.count - 8))
                switch random.next() % 4 {
                case 0: bytes[position] ^= 1 << UInt8(random.next() % 8)
                case 1: bytes[position] = UInt8(truncatingIfNeeded: random.next())
                case 2 where bytes.count - position >= 8:
                    let edges: [UInt64] = [0, 1, .max, .max - 7, 1 << 63, 4096, 1 << 32]
                    bytes = bytes.replacing(at: position / 8 * 8, with: edges[Int(random.next() % 7)])
                default: bytes[position] = 0xff
                }
            }
            if kind == 1 { bytes = Array(bytes.prefix(16 + Int(random.next() % UInt64(bytes.count - 15)))) }
            if kind == 2 {
                bytes += Array(repeating: UInt8(truncatingIfNeeded: random.next()), count: 1 + Int(random.next() % 64))
            }
        }
        bytes = bytes.replacing(at: 4, with: UInt32(bytes.count))
        // Now and then a length that is none: where the next message begins can't be known then.
        return random.next() % 1024 == 0 ? bytes.replacing(at: 4, with: UInt32(random.next() % 16)) : bytes
    }

    /// Reads what the server sends until the reply `id` is there, and fails every DMA access.
    ///
    /// - Returns: false when the connection is closed.
    private func drain(_ client: RawClient, until id: UInt16) throws -> Bool {
        while let reply = try client.receive() {
            if reply.header.type == .command {
                guard let command = Command(rawValue: reply.header.command) else { throw Errno.badMessage }
                try client.send(message(command, id: reply.header.id, flags: [.reply, .error]))
            } else if reply.header.id == id, reply.header.command == Command.regionRead.rawValue {
                #expect(reply.errno == nil && reply.payload.count == 18)
                return true
            }
        }
        return false
    }

    private func connect(_ device: ServedDevice) throws -> RawClient {
        while true {
            let client = try RawClient(path: device.path)
            if try client.negotiate().errno != .resourceBusy { return client }
        }
    }

    @Test(arguments: ["exerciser", "bochs-display", "serial"])
    func nothingStopsTheServer(_ type: String) throws {
        let seed = UInt64.random(in: 0 ... .max)
        do {
            try attack(type, seed: seed, messages: 100_000)
        } catch {
            Issue.record("Seed \(seed): \(error)")
        }
    }

    private func attack(_ type: String, seed: UInt64, messages: Int) throws {
        var random = SplitMix(seed: seed)
        let device = try ServedDevice(type)
        let file = try MemoryFile(name: "hostile", size: 1 << 16)
        let event = try EventFD()
        var client = try connect(device)
        let batch = 16
        for round in 0..<messages / batch + 1 {
            let id = UInt16(truncatingIfNeeded: round) | 0x8000
            do {
                for _ in 0..<batch {
                    var descriptors: [Int32] = []
                    for _ in 0..<(random.next() % 4 == 0 ? random.next() % 3 : 0) {
                        descriptors.append(random.next() % 2 == 0 ? file.descriptor.raw : event.descriptor.raw)
                    }
                    try client.send(Self.hostile(&random), descriptors: descriptors)
                }
                try client.send(message(.regionRead, id: id, wire(UInt64(0), UInt32(7), UInt32(2))))
                if try drain(client, until: id) { continue }
            } catch let error as Errno where error == .brokenPipe || error == .connectionReset {
                // The server has ended this session; it goes on with the next one.
            }
            client = try connect(device)
        }
        try client.send(message(.deviceReset))
        try client.send(message(.regionRead, id: 1, wire(UInt64(0), UInt32(7), UInt32(2))))
        #expect(try drain(client, until: 1), "Seed \(seed)")
        device.stop()
        #expect(file.descriptor.openCount() == 1, "Seed \(seed)")
    }
}
