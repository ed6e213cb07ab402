import Device
import FakeGuest
import Linux
import PCI
import Synchronization
import Tap
import Testing
import VFIO
import VFIOUserClient

/// Whatever way an access takes, it passes the same door: a tap sees each of them once, with its bytes.
@Suite struct TapTests {
    private typealias Seen = KeepingTap.Seen

    private let bench: Bench
    private let tap = KeepingTap()

    init() throws {
        bench = try Bench(offer: RawClient.offer)
        watch(bench)
    }

    private func watch(_ bench: Bench) {
        bench.device.onThread { [tap] function, _ in function.host.tap = tap }
        _ = tap.takeAll()
    }

    // MARK: Accesses

    @Test func accessesByMessage() throws {
        try bench.write(UInt32(0x1234_5678), at: 4)
        #expect(try bench.read(UInt32.self, at: 4) == 0x1234_5678)
        #expect(try bench.read(UInt16.self, region: 7, at: 0) == 0x1234)
        let bytes = wire(UInt32(0x1234_5678))
        #expect(
            tap.take() == [
                Seen(.write(region: 0, offset: 4, by: .message), bytes),
                Seen(.read(region: 0, offset: 4, by: .message), bytes),
                Seen(.read(region: 7, offset: 0, by: .message), [0x34, 0x12]),
            ])
    }

    @Test func anAccessThatIsRefusedIsNone() throws {
        try bench.expectRefusal(.invalidArgument, of: .regionRead, wire(UInt64(4096), UInt32(0), UInt32(4)))
        _ = tap.take()
        let write = wire(UInt64(4096), UInt32(0), UInt32(4), UInt32(0))
        #expect(try bench.client.call(.regionWrite, write).errno == .invalidArgument)
        #expect(tap.take().isEmpty)
    }

    @Test func severalWritesInOneMessage() throws {
        let bench = try Bench(offer: #"{"capabilities":{"max_msg_fds":8,"write_multiple":true}}"#)
        watch(bench)
        var payload = wire(UInt64(3))
        for number in 0..<3 as Range<UInt64> { payload += wire(UInt64(4), UInt32(0), UInt32(4), number) }
        try bench.call(.regionWriteMulti, payload)
        #expect(tap.take() == (0..<3).map { Seen(.write(region: 0, offset: 4, by: .message), wire(UInt32($0))) })
    }

    @Test func accessesByTheRing() throws {
        let device = try ServedDevice("exerciser")
        let client = try RawClient(path: device.path)
        let ring = try RawRing(client)
        watch(Bench(device, client))
        ring.put(kind: 2, offset: 4, data: 7)
        let entry = ring.put(kind: 1, offset: 4)
        #expect(ring.status(of: entry) == 0)
        #expect(
            tap.take() == [
                Seen(.write(region: 0, offset: 4, by: .ring), [7, 0, 0, 0]),
                Seen(.read(region: 0, offset: 4, by: .ring), [7, 0, 0, 0]),
            ])
    }

    @Test func accessesByIORegion() throws {
        let reply = try bench.call(.deviceGetRegionIOFDs, wire(UInt32(96), UInt32(0), UInt32(0), UInt32(0)))
        let socket = try RawClient(UnixSocket(owning: reply.files[1].descriptor.duplicate()))
        for isWrite in [true, false] {
            try socket.send(
                wire(
                    IORegionCommand(
                        isWrite: isWrite, width: 4, wantsResponse: true, userData: 0, offset: 4, data: isWrite ? 9 : 0
                    ).write))
            #expect(try socket.socket.waitReadable(within: .seconds(10)))
            let buffer = try PageBuffer(count: 4096)
            var descriptors = ReceivedDescriptors()
            _ = try socket.socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: false)
        }
        #expect(
            tap.take() == [
                Seen(.write(region: 0, offset: 4, by: .ioregion), [9, 0, 0, 0]),
                Seen(.read(region: 0, offset: 4, by: .ioregion), [9, 0, 0, 0]),
            ])
    }

    /// Such a reply is otherwise sent from the memory behind the BAR, with no copy of it.
    @Test func aLongReadOfMappedMemory() throws {
        let count = 32 << 10
        let address = UInt64(64 << 10)
        bench.device.onThread { function, _ in
            _ = function.region(2)?.memory?.replace(at: Int(address), with: ([1, 2, 3] as [UInt8]).span.bytes)
        }
        let reply = try bench.call(.regionRead, wire(address, UInt32(2), UInt32(count)))
        let seen = tap.take()
        #expect(seen.map(\.passage) == [.read(region: 2, offset: address, by: .message)])
        #expect(seen.first?.bytes.count == count && seen.first?.bytes.starts(with: [1, 2, 3]) == true)
        #expect(reply.payload.dropFirst(16).elementsEqual(seen.first?.bytes ?? []))
    }

    // MARK: Doorbells

    private func bells(_ region: UInt32, _ bench: Bench) throws -> RawClient.Message {
        let reply = try bench.call(.deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), region, UInt32(0)))
        _ = tap.take()
        return reply
    }

    @Test func aDoorbellByMessage() throws {
        try bench.write(UInt32(5), at: 0x80)
        #expect(tap.take() == [Seen(.write(region: 0, offset: 0x80, by: .message), [5, 0, 0, 0])])
    }

    @Test func aDoorbellByEventFD() throws {
        let bell = try EventFD(adopting: bells(0, bench).files[0].descriptor.duplicate())
        // Those that come while the device's thread does something else come together.
        bench.device.onThread { _, _ in for _ in 0..<3 { bell.signal() } }
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
        let all = tap.takeAll()
        #expect(
            all.filter { $0.passage == .doorbell(bar: 0, offset: 0x80, times: 3) } == [
                Seen(.doorbell(bar: 0, offset: 0x80, times: 3))
            ])
        #expect(all.contains(Seen(.event("doorbell"), wire(UInt32(1)))))
    }

    @Test func aDoorbellThatKeepsItsValue() throws {
        let reply = try bells(2, bench)
        let shadow = try MemoryFile(adopting: reply.files[1].descriptor.duplicate(), size: 4096)
        let bell = try EventFD(adopting: reply.files[0].descriptor.duplicate())
        shadow.publish(11, at: 0x10)
        bell.signal()
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
        #expect(tap.take() == [Seen(.doorbell(bar: 2, offset: 0x10, times: 1), wire(UInt64(11)))])
    }

    @Test func aDoorbellCarriesItsBAR() throws {
        let bench = try Bench(ServedDevice { TwinBells(host: $0) })
        watch(bench)
        for bar in [4, 0] as [UInt32] {
            try EventFD(adopting: bells(bar, bench).files[0].descriptor.duplicate()).signal()
            for _ in 0..<2 { bench.device.onThread { _, _ in } }
            #expect(tap.take() == [Seen(.doorbell(bar: Int(bar), offset: 0, times: 1))])
        }
        #expect(bench.device.onThread { function, _ in (function.device as? TwinBells)?.rung } == [4, 0])
    }

    /// STOP of the migration: what the guest's last instructions left in the eventfds was rung before.
    @Test func aDoorbellThatIsRungWhileTheDeviceStandsStillWaits() throws {
        let bench = try Bench(ServedDevice { TwinBells(host: $0) })
        let replies = try [4, 0].map { try bells($0, bench) }
        func go(to state: UInt32) throws {
            try bench.call(.deviceFeature, wire(UInt32(16), UInt32(1 << 17 | 2), state, UInt32(0)))
        }
        func rung() -> [Int]? { bench.device.onThread { function, _ in (function.device as? TwinBells)?.rung } }
        try go(to: 1)
        for reply in replies { try EventFD(adopting: reply.files[0].descriptor.duplicate()).signal() }
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
        #expect(rung() == [])
        try bench.expectRefusal(.resourceBusy, of: .regionWrite, wire(UInt64(0), UInt32(0), UInt32(4), UInt32(0)))
        try go(to: 2)
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
        #expect(rung()?.sorted() == [0, 4])
    }

    @Test func aDoorbellThatWaitsGoesWithItsClient() throws {
        let device = try ServedDevice { TwinBells(host: $0) }
        let bench = try Bench(device)
        let reply = try bells(0, bench)
        try bench.call(.deviceFeature, wire(UInt32(16), UInt32(1 << 17 | 2), UInt32(1), UInt32(0)))
        try EventFD(adopting: reply.files[0].descriptor.duplicate()).signal()
        for _ in 0..<2 { device.onThread { _, _ in } }
        bench.client.socket.shutDown()
        let next = try Bench(device)
        try EventFD(adopting: bells(4, next).files[0].descriptor.duplicate()).signal()
        for _ in 0..<2 { device.onThread { _, _ in } }
        #expect(device.onThread { function, _ in (function.device as? TwinBells)?.rung } == [4])
    }

    /// Of the eventfd's count.
    @Test func aDoorbellThatWaitedHasRungAsOften() throws {
        let bell = try EventFD(adopting: bells(0, bench).files[0].descriptor.duplicate())
        func go(to state: UInt32) throws {
            try bench.call(.deviceFeature, wire(UInt32(16), UInt32(1 << 17 | 2), state, UInt32(0)))
        }
        try go(to: 1)
        for _ in 0..<3 { bell.signal() }
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
        try go(to: 2)
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
        #expect(
            tap.take() == [
                Seen(.running(false)), Seen(.running(true)), Seen(.doorbell(bar: 0, offset: 0x80, times: 3)),
            ])
    }

    /// Of two BARs that have a doorbell at the same place.
    private final class TwinBells: Device {
        static let type = DeviceType(name: "twin-bells", summary: "Two doorbells")
        let identity = PCIIdentity(vendor: 0x1234, device: 1, class: .unclassified, revision: 0)
        let bars = [0, 4].map { BAR.memory($0, size: 4096, doorbells: [Doorbell(at: 0)]) }
        private(set) var rung: [Int] = []

        init(host: Host) {}
        convenience init(options: DeviceOptions, host: Host) { self.init(host: host) }

        func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { 0 }
        func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {}
        func ring(_ doorbell: Doorbell, bar: Int, value: UInt64) { rung.append(bar) }
        func reset() { rung = [] }

        var state: [Int] { rung }
        func restore(_ state: [Int]) { rung = state }
    }

    // MARK: Memory

    @Test func memoryAccessesOfTheDevice() throws {
        let ram = try GuestRAM(at: 0x10_0000, size: 4096)
        try bench.map(ram)
        ram.file.replace(at: 0, with: ([1, 2, 3, 4] as [UInt8]).span.bytes)
        #expect(try bench.transfer(Bench.copy, from: ram.address, to: ram.address + 8, length: 4) == 0)
        // The command comes before what it causes.
        let command = Seen(.write(region: 0, offset: 0x38, by: .message), wire(Bench.copy))
        let seen = tap.take()
        let start = try #require(seen.firstIndex(of: command))
        #expect(
            seen[start...].prefix(3) == [
                command, Seen(.memoryRead(address: ram.address), [1, 2, 3, 4]),
                Seen(.memoryWrite(address: ram.address + 8), [1, 2, 3, 4]),
            ])
    }

    @Test func memoryThatIsNotThere() throws {
        #expect(try bench.transfer(Bench.fill, to: 0x5000, length: 4) != 0)
        #expect(tap.take().contains(Seen(.memoryFault(address: 0x5000))))
    }

    @Test func memoryThatTheClientMoves() throws {
        try bench.mapRemote(address: 0x7000, size: 4096)
        _ = tap.take()
        try bench.startTransfer(Bench.load, from: 0x7000, length: 4)
        let request = try #require(try bench.client.receive())
        try bench.client.send(
            message(.dmaRead, id: request.header.id, wire(UInt64(0x7000), UInt64(4)) + [5, 6, 7, 8], flags: .reply))
        #expect(try bench.client.receive()?.errno == nil)
        #expect(tap.take().contains(Seen(.memoryRead(address: 0x7000), [5, 6, 7, 8])))
    }

    @Test func mapsOfTheHypervisor() throws {
        let ram = try GuestRAM(at: 0x10_0000, size: 4096)
        try bench.map(ram)
        try bench.call(.dmaUnmap, wire(DMAUnmap(address: ram.address, length: 4096).write))
        #expect(
            tap.take().map(\.passage) == [
                .mapped(address: ram.address, size: 4096), .unmapped(address: ram.address, size: 4096),
            ])
    }

    /// An observer passes on that one has left when the next one may be there.
    @Test(.unobserved) func whoeverLeavesTakesAllMapsAlong() throws {
        try bench.map(try GuestRAM(at: 0x10_0000, size: 4096))
        _ = tap.take()
        bench.client.socket.shutDown()
        _ = try Bench(bench.device)
        #expect(tap.take().contains(Seen(.unmappedAll)))
    }

    /// The client writes to the buffer with nobody's knowledge: what the device takes of it is seen when it looks.
    @Test func memoryThatTheClientHasMapped() throws {
        let ram = try GuestRAM(at: 0x10_0000, size: 4096)
        try bench.map(ram)
        let start = bench.device.onThread { function, _ in
            let region = function.region(2)
            let start = Int(region?.mapped.first?.lowerBound ?? 0)
            _ = region?.memory?.replace(at: start, with: ([7, 8, 9] as [UInt8]).span.bytes)
            return start
        }
        #expect(try bench.transfer(Bench.store, to: ram.address, length: 3) == 0)
        let moves = tap.take().filter {
            switch $0.passage {
            case .look, .memoryWrite: true
            default: false
            }
        }
        #expect(
            moves == [
                Seen(.look(memory: "exerciser", offset: start), [7, 8, 9]),
                Seen(.memoryWrite(address: ram.address), [7, 8, 9]),
            ])
    }

    // MARK: What the hypervisor and an administrator do

    @Test func aClientsMessages() throws {
        let ram = try GuestRAM(at: 0x10_0000, size: 4096)
        try bench.map(ram)
        let eventFDs = try [EventFD(), EventFD()]
        let payload = wire(UInt32(20), UInt32(4 | 1 << 5), UInt32(2), UInt32(0), UInt32(2))
        let reply = try bench.client.call(.deviceSetIRQs, payload, descriptors: eventFDs.map { $0.descriptor.raw })
        #expect(reply.errno == nil)
        let seen = tap.takeAll()
        let commands = seen.filter { if case .command = $0.passage { true } else { false } }
        #expect(
            commands.map(\.passage) == [
                .command(number: 2, descriptors: "memfd"), .command(number: 8, descriptors: "eventfd"),
            ])
        #expect(commands.last?.bytes == payload)
        // It comes before what it leads to.
        let map = try #require(seen.firstIndex { $0.passage == .mapped(address: ram.address, size: 4096) })
        #expect(seen[map - 1] == commands.first)
    }

    @Test func clientsThatComeAndGo() throws {
        bench.client.socket.shutDown()
        _ = try Bench(bench.device)
        let passages = tap.takeAll().map(\.passage)
        let left = try #require(passages.firstIndex(of: .client(isConnected: false)))
        let came = try #require(passages.firstIndex(of: .client(isConnected: true)))
        #expect(left < came)
        #expect(passages[came...].contains(.command(number: 1, descriptors: "")))
    }

    @Test func resetsAndStandingStill() throws {
        func go(to state: UInt32) throws {
            try bench.call(.deviceFeature, wire(UInt32(16), UInt32(1 << 17 | 2), state, UInt32(0)))
        }
        try bench.call(.deviceReset)
        try go(to: 1)
        try go(to: 2)
        #expect(tap.take().map(\.passage) == [.reset, .running(false), .running(true)])
    }

    @Test func aStateThatIsLoaded() throws {
        let isLoaded = bench.device.onThread { function, _ -> Bool? in
            guard let reader = try? StateReader(function) else { return nil }
            var state = [UInt8](repeating: 0, count: reader.size)
            var span = state.mutableSpan
            var bytes = span.mutableBytes
            _ = reader.read(into: &bytes)
            let writer = StateWriter(function)
            return (try? writer.write(state.span.bytes)) != nil && (try? writer.finish()) != nil
        }
        #expect(isLoaded == true)
        #expect(tap.take().map(\.passage) == [.restored])
    }

    /// Before what the guest sees of them.
    @Test func limitsAndMonitors() throws {
        let device = try ServedDevice("virtio-gpu", options: ["vram=16M"])
        device.onThread { [tap] function, _ in
            function.host.tap = tap
            _ = try? function.apply(Quota(videoMemory: 8 << 20, frameRate: 30))
            try? function.connect(Monitor(width: 800, height: 600), to: 0)
            try? function.connect(nil, to: 9)
        }
        #expect(
            tap.take().map(\.passage).filter { if case .message = $0 { false } else { true } } == [
                .quota(videoMemory: 8 << 20, frameRate: 30), .monitor(head: 0, width: 800, height: 600),
                .monitor(head: 9, width: 0, height: 0),
            ])
    }

    // MARK: Interrupts, clock, random numbers

    @Test func interruptsOfTheDevice() throws {
        // A cause asserts the pin, and its end takes it back.
        try bench.write(UInt32(1), at: 0x14)
        try bench.write(UInt32(1), at: 0x18)
        let levels = tap.take().filter { if case .pin = $0.passage { true } else { false } }
        #expect(levels == [Seen(.pin(isAsserted: true)), Seen(.pin(isAsserted: false))])
    }

    @Test func timeAndRandomNumbers() throws {
        let host = Host(loop: try EventLoop())
        host.tap = tap
        host.clock = { 1_000 }
        #expect(host.nanoseconds() == 1_000)
        var bytes = [UInt8](repeating: 0, count: 16)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try host.fillWithRandomNumbers(&raw)
        #expect(tap.take() == [Seen(.clock, wire(UInt64(1_000))), Seen(.random, bytes)])
    }

    @Test func whoLooksNoMoreSeesNothing() throws {
        bench.device.onThread { function, _ in function.host.tap = nil }
        _ = tap.takeAll()
        try bench.write(UInt32(1), at: 4)
        #expect(tap.takeAll().isEmpty)
    }
}
