import Device
import FakeDriver
import FakeGuest
import Linux
import Programs
import Replay
import Synchronization
import Tap
import Testing
import VFIOUserClient

/// What was recorded of a device another one lives again, to the last byte; and where it doesn't, that is found.
@Suite struct ReplayTests {
    @Test func anExerciserLivesAgain() throws {
        #expect(try expectSame(exercised()).passages > 12)
    }

    @Test func aByteThatIsAnotherIsFound() throws {
        var records = try exercised()
        let place = try #require(records.lastIndex { $0.kind == .init(.read) && $0.region == 0 })
        records[place].bytes[0] ^= 1
        records[place].value ^= 1
        let outcome = try replay(records)
        let divergence = try #require(outcome.divergence)
        #expect(divergence.expected?.number == records[place].number)
        #expect(divergence.expected?.bytes == records[place].bytes)
        #expect(divergence.actual?.value == records[place].value ^ 1)
        #expect(!divergence.before.isEmpty && divergence.before.count <= 10)
    }

    @Test func aReplayStopsWhereItIsTold() throws {
        let records = try exercised()
        let write = try #require(records.last { $0.kind == .init(.write) && $0.region == 0 })
        var left = records[...]
        let replay = try Replay { left.popFirst() }
        let outcome = try replay.run(until: write.number)
        #expect(outcome.divergence == nil && !outcome.isComplete)
        #expect(try replay.function.load(region: 0, offset: 4, width: .dword) == UInt64(write.value - 1))
    }

    @Test func randomNumbersAndQueuesLiveAgain() throws {
        let recorded = try RecordedDevice("virtio-rng")
        let ram = try GuestRAM(at: 0x10_0000, size: 1 << 20)
        try recorded.client.map(address: ram.address, size: 1 << 20, file: ram.file.descriptor)
        let driver = try VirtioDriver(recorded.client, ram: ram)
        #expect(try driver.negotiate([.version1]))
        let queue = try driver.queue(0)
        try driver.setDriverOK()
        for _ in 0..<5 {
            let address = driver.allocate(64)
            _ = queue.add(Buffer(address: address, count: 64, isWritable: true))
            try driver.notify(0)
            while queue.takeUsed() == nil { recorded.device.onThread { _, _ in } }
        }
        let records = try recorded.finish()
        #expect(records.count { $0.kind == .init(.random) } >= 5)
        _ = try expectSame(records)
    }

    @Test func aSerialLineLivesAgain() throws {
        let path = temporaryPath()
        let recorded = try RecordedDevice("serial", ["line=unix:\(path)"])
        let client = recorded.client
        let peer = try UnixSocket(connectingTo: path, within: .seconds(10))
        while try client.read(UInt8.self, region: 0, offset: 6) & 0x80 == 0 {}
        try client.write(UInt8(1), region: 0, offset: 1)
        try client.write(UInt8(0x0b), region: 0, offset: 4)
        try peer.send(Array("hello".utf8).span.bytes, within: .seconds(10))
        var text: [UInt8] = []
        while text.count < 5 {
            guard try client.read(UInt8.self, region: 0, offset: 5) & 1 != 0 else { continue }
            text.append(try client.read(UInt8.self, region: 0, offset: 0))
        }
        #expect(text == Array("hello".utf8))
        for byte in "world".utf8 { try client.write(byte, region: 0, offset: 0) }
        peer.shutDown()
        while try client.read(UInt8.self, region: 0, offset: 6) & 0x80 != 0 {}
        let records = try recorded.finish()
        #expect(records.contains { $0.kind == .init(.received) } && records.contains { $0.kind == .init(.sent) })
        _ = try expectSame(records)
    }

    @Test func aPictureIsTheSameToThePixel() throws {
        let recorded = try RecordedDevice("bochs-display", ["vram=1280K", "resolution=640x480"])
        let client = recorded.client
        for (index, value) in [(4, 0), (1, 64), (2, 48), (3, 32), (4, 0x41)] as [(UInt64, UInt16)] {
            try client.write(value, region: 2, offset: 0x500 + 2 * index)
        }
        let line = (0..<256).map { UInt8($0) }
        for y in 0..<48 as Range<UInt64> { try client.write(region: 0, offset: y * 256, bytes: line.span.bytes) }
        // As a guest does that has it mapped.
        _ = recorded.device.onThread { function, _ in
            function.region(0)?.memory?.replace(at: 512, with: [UInt8](repeating: 0x77, count: 100).span.bytes)
        }
        let records = try recorded.finish()
        #expect(try expectSame(records).pictures == 1)
        // A large one comes in parts, and others may pass between them.
        var parts = records
        let whole = try #require(parts.firstIndex { $0.kind == .picture })
        var (front, back) = (parts[whole], parts[whole])
        (front.hasMoreParts, back.partOffset) = (true, 5000)
        front.bytes.removeLast(front.bytes.count - 5000)
        back.bytes.removeFirst(5000)
        parts.replaceSubrange(whole...whole, with: [front, Record(.init(.event)), back])
        #expect(try expectSame(parts).pictures == 1)
        var others = records
        let place = try #require(others.firstIndex { $0.kind == .picture })
        others[place].bytes[1000] ^= 1
        let divergence = try #require(try replay(others).divergence)
        #expect(divergence.reason?.contains("from pixel 58, 3 on") == true, "\(divergence.reason ?? "")")
    }

    /// Neither by its own hand nor by messages.
    @Test func aGuestThatGoesOnDrawingChangesNoPictureOfTheEnd() throws {
        let recorded = try RecordedDevice("bochs-display", ["vram=4M", "resolution=640x480"])
        for (index, value) in [(4, 0), (1, 640), (2, 480), (3, 32), (4, 0x41)] as [(UInt64, UInt16)] {
            try recorded.client.write(value, region: 2, offset: 0x500 + 2 * index)
        }
        let memory = try #require(recorded.device.onThread { function, _ in function.region(0)?.memory })
        let isOver = Atomic(false)
        let rounds = Atomic(0)
        nonisolated(unsafe) let client = recorded.client
        let guest = try Thread(name: "guest") {
            var colour: UInt8 = 0
            while !isOver.load(ordering: .relaxed) {
                colour &+= 1
                let line = [UInt8](repeating: colour, count: 2560)
                for y in 0..<480 { memory.replace(at: y * 2560, with: line.span.bytes) }
                try? client.write(region: 0, offset: UInt64(colour) * 4096, bytes: line.span.bytes)
                rounds.add(1, ordering: .relaxed)
            }
        }
        while rounds.load(ordering: .relaxed) < 10 { recorded.device.onThread { _, _ in } }
        let records = try recorded.finish()
        isOver.store(true, ordering: .relaxed)
        guest.join()
        #expect(try expectSame(records).pictures == 1)
    }

    @Test func afterAGapItGoesOnFromTheNextState() throws {
        let first = try exercised()
        // What was lost makes no difference: the second recording begins with a state.
        var gap = Record(.gap)
        gap.count = 5
        let cut = try #require(first.firstIndex { $0.kind == .init(.write) })
        let second = try exercised().dropFirst()
        let outcome = try replay(first[..<cut] + [gap] + second)
        #expect(outcome.divergence == nil, "\(String(describing: outcome.divergence))")
        #expect(outcome.gaps == 1 && outcome.isComplete)
    }
}
