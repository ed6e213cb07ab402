import FakeGuest
import Linux
import Testing
import VFIO
import SeededRandom

/// Messages that nobody would send: random ones, and right ones with something changed.
@Suite struct HostileTests {
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
                    try client.send(HostileMessage.next(using: &random), descriptors: descriptors)
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
        #expect(file.descriptor.openCount(settlingAt: 1) == 1, "Seed \(seed)")
    }
}
