import Device
import FakeDriver
import FakeGuest
import Testing
import Virtio
import VirtioEntropy

/// VIRTIO 1.2, section 5.4.
@Suite struct EntropyTests {
    private func start(_ kind: RingKind) throws -> (Bench, any DriverQueue) {
        let bench = try Bench { host in
            typealias Entropy = VirtioFunction<VirtioEntropy>
            return try Entropy(options: DeviceOptions(for: Entropy.type), host: host)
        }
        return (bench, try bench.start(kind))
    }

    @Test func itIsTheEntropyDevice() throws {
        let (bench, _) = try start(.split)
        #expect(try bench.driver.configuration(0x02, .word) == 0x1044)
        // There is no device configuration structure.
        #expect(bench.driver.structures[4] == nil)
        #expect(try bench.driver[.queueCount] == 1)
    }

    @Test(arguments: RingKind.all)
    func aBufferIsFilledWithBytesThatDiffer(kind: RingKind) throws {
        let (bench, queue) = try start(kind)
        var seen: Set<[UInt8]> = []
        for _ in 0..<3 {
            let target = bench.driver.allocate([UInt8](repeating: 0, count: 64))
            let id = queue.add(.writable(target, 64))
            try bench.driver.notify(queue)
            #expect(queue.takeUsed() == Used(id: id, count: 64))
            seen.insert(bench.driver.bytes(at: target, count: 64))
        }
        #expect(seen.count == 3)
    }

    @Test func aLongBufferIsFilledInPart() throws {
        let (bench, queue) = try start(.split)
        let target = bench.driver.allocate([UInt8](repeating: 0, count: 8192))
        let id = queue.add(.writable(target, 8192))
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() == Used(id: id, count: 4096))
        #expect(bench.driver.bytes(at: target + 4096, count: 4096).allSatisfy { $0 == 0 })
    }

    @Test func aBufferToReadIsGivenBackUnread() throws {
        let (bench, queue) = try start(.split)
        let id = queue.add(.readable(bench.ram.address, 64))
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() == Used(id: id, count: 0))
        #expect(try !bench.driver.needsReset)
    }
}
