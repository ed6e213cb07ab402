import Alteration
import Device
import DeviceCatalog
import FakeGuest
import Injection
import Linux
import PCI
import Synchronization
import Tap
import Testing
import Trace
import VFIO
import VFIOUserClient

/// What passes can be altered at each door, whatever way it takes. A tap sees what has passed in the end.
@Suite struct InjectionTests {
    private typealias Seen = KeepingTap.Seen

    private let bench: Bench
    private let tap = KeepingTap()

    init() throws {
        bench = try Bench(offer: RawClient.offer)
    }

    /// Has rules hold from now on.
    private func add(_ rules: String..., limit: UInt64 = 4_000_000_000, on bench: Bench? = nil) throws {
        let trouble = (bench ?? self.bench).device.onThread { function, _ -> String? in
            do {
                let injector = try function.host.alterer as? Injector ?? Injector(function.host, Self.names)
                function.host.alterer = injector
                for rule in rules { _ = try injector.add(Rule(rule), limit: limit) }
                return nil
            } catch { return "\(error)" }
        }
        #expect(trouble == nil)
        (bench ?? self.bench).device.onThread { [tap] function, _ in function.host.tap = tap }
        _ = tap.takeAll()
    }

    private static let names = RegisterNames(DeviceCatalog.types.first { $0.name == "exerciser" }?.registers ?? [])

    private func report(_ bench: Bench? = nil) -> InjectionReport? {
        (bench ?? self.bench).device.onThread { function, _ in (function.host.alterer as? Injector)?.report }
    }

    /// What has passed, without what says that it was altered.
    private func passed() -> [Seen] {
        tap.take().filter { if case .altered = $0.passage { false } else { true } }
    }

    private func letGo() {
        bench.device.onThread { function, _ in _ = try? (function.host.alterer as? Injector)?.letGo(nil) }
    }

    // MARK: Accesses

    @Test func aReadGivesAnotherValue() throws {
        try bench.write(UInt32(0x1234), at: 4)
        try add("read register=scratch nth=2 : value=0xffffffff", "read register=scratch nth=3 : xor=0xff")
        #expect(try bench.read(UInt32.self, at: 4) == 0x1234)
        #expect(try bench.read(UInt32.self, at: 4) == 0xffff_ffff)
        #expect(try bench.read(UInt32.self, at: 4) == 0x12cb)
        #expect(try bench.read(UInt32.self, at: 4) == 0x1234)
        // The tap has seen what the guest has.
        #expect(
            passed().map(\.bytes) == [0x1234, 0xffff_ffff, 0x12cb, 0x1234].map { wire(UInt32($0)) })
        #expect(report()?.rules.map(\.altered) == [1, 1])
        #expect(report()?.rules.map(\.met) == [4, 4])
    }

    /// Before what was altered stands the rule.
    @Test func anAlterationIsSeen() throws {
        try add("write register=scratch : or=1")
        try bench.write(UInt32(0), at: 4)
        #expect(
            tap.take() == [
                Seen(.altered(rule: 1)), Seen(.write(region: 0, offset: 4, by: .message), wire(UInt32(1))),
            ])
    }

    @Test func aValueThatIsWrittenIsMasked() throws {
        try add("write register=scratch value=0x1234 : and=0xff00", "write register=scratch : or=1")
        try bench.write(UInt32(0x1234), at: 4)
        #expect(try bench.read(UInt32.self, at: 4) == 0x1200)
        try bench.write(UInt32(0x40), at: 4)
        #expect(try bench.read(UInt32.self, at: 4) == 0x41)
        #expect(passed().first == Seen(.write(region: 0, offset: 4, by: .message), wire(UInt32(0x1200))))
    }

    @Test func allOnesOfALongRead() throws {
        try add("read bar=2 : ones")
        let reply = try bench.call(.regionRead, wire(UInt64(64 << 10), UInt32(2), UInt32(32 << 10)))
        #expect(reply.payload.dropFirst(16).allSatisfy { $0 == 0xff } && reply.payload.count == 16 + 32 << 10)
    }

    @Test func anAccessFails() throws {
        try add("read register=scratch : errno=EIO", "write register=scratch : errno=EBUSY")
        try bench.expectRefusal(.ioError, of: .regionRead, wire(UInt64(4), UInt32(0), UInt32(4)))
        try bench.expectRefusal(.resourceBusy, of: .regionWrite, wire(UInt64(4), UInt32(0), UInt32(4), UInt32(7)))
        #expect(passed().allSatisfy { if case .read(7, _, _) = $0.passage { true } else { false } })
    }

    @Test func aWriteIsLostOrComesAgain() throws {
        try add("write register=raise nth=1 : drop", "write register=scratch : repeat=2")
        let before = try bench.read(UInt64.self, at: 0x68)
        try bench.write(UInt32(1), at: 0x10)
        #expect(try bench.read(UInt64.self, at: 0x68) == before)
        try bench.write(UInt32(1), at: 4)
        #expect(try bench.read(UInt64.self, at: 0x68) == before + 3)
    }

    @Test func accessesByTheRingAndByIORegion() throws {
        let device = try ServedDevice("exerciser")
        let client = try RawClient(path: device.path)
        let ring = try RawRing(client)
        let bench = Bench(device, client)
        try add("write way=ring : xor=0xf", "read way=ring nth=2 : errno=EFAULT", on: bench)
        ring.put(kind: 2, offset: 4, data: 0x70)
        let read = ring.put(kind: 1, offset: 4)
        #expect(ring.status(of: read) == 0)
        #expect(ring[read, 6] == 0x7f)
        #expect(ring.status(of: ring.put(kind: 1, offset: 4)) == UInt32(Errno.badAddress.rawValue))
    }

    /// The same rule with the same seed chooses the same ones.
    @Test func chanceIsTheSameAgain() throws {
        try bench.write(UInt32(0), at: 4)
        func choices(seed: Int) throws -> [Bool] {
            bench.device.onThread { function, _ in function.host.alterer = nil }
            try add("read register=scratch chance=0.5 seed=\(seed) : value=1")
            return try (0..<64).map { _ in try bench.read(UInt32.self, at: 4) == 1 }
        }
        let first = try choices(seed: 5)
        #expect((8...56).contains(first.count { $0 }))
        #expect(try choices(seed: 5) == first)
        #expect(try choices(seed: 6) != first)
    }

    @Test func everySoManyUpToSoMany() throws {
        try bench.write(UInt32(0), at: 4)
        try add("read register=scratch every=3 times=2 : value=1")
        let values = try (1...12).map { _ in try bench.read(UInt32.self, at: 4) }
        #expect(values == [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    }

    // MARK: Waiting

    /// The device's loop goes on, and nothing overtakes the access.
    @Test func anAccessIsHeld() throws {
        try add("read register=scratch times=1 : hold")
        try bench.client.send(.regionRead, wire(UInt64(4), UInt32(0), UInt32(4)))
        try bench.client.send(.regionWrite, wire(UInt64(4), UInt32(0), UInt32(4), UInt32(9)))
        while report()?.waiting.isEmpty == true {}
        #expect(report()?.waiting.map(\.what) == ["read bar0+0x4 scratch"])
        #expect(try !bench.client.socket.waitReadable(within: .zero))
        bench.device.onThread { function, _ in function.host.interrupts.raise(0) }
        letGo()
        #expect(try bench.client.receive()?.field(UInt32.self, at: 16) == 0)
        #expect(try bench.client.receive()?.errno == nil)
        #expect(try bench.read(UInt32.self, at: 4) == 9)
        #expect(report()?.waiting == [])
    }

    @Test func whatIsHeldGoesOnAtItsLimit() throws {
        try add("read register=scratch : hold", limit: 1_000_000)
        #expect(try bench.read(UInt32.self, at: 4) == 0)
        #expect(report()?.rules.map(\.altered) == [1])
    }

    /// What has come behind a held access has waited as long: it isn't held once more.
    @Test func thoseThatWaitInARowHaveOneLimit() throws {
        try add("read register=scratch : hold", limit: 20_000_000)
        for _ in 0..<3 { try bench.client.send(.regionRead, wire(UInt64(4), UInt32(0), UInt32(4))) }
        for _ in 0..<3 { #expect(try bench.client.receive()?.errno == nil) }
        #expect(report()?.rules.map(\.met) == [3])
        #expect(report()?.rules.map(\.altered) == [1])
        #expect(report()?.waiting == [])
    }

    @Test func aLateReplyIsNeverSent() throws {
        let time = Atomic<UInt64>.init(SystemClock.nanoseconds)
        let shared = Shared(time)
        bench.device.onThread { function, _ in
            let injector = try? Injector(function.host, Self.names, clock: { shared.time.load(ordering: .relaxed) })
            _ = try? injector?.add(Rule("read register=scratch : hold"), limit: 1_000_000_000)
            function.host.alterer = injector
        }
        try bench.client.send(.regionRead, wire(UInt64(4), UInt32(0), UInt32(4)))
        while report()?.waiting.isEmpty == true {}
        shared.time.add(3_000_000_000, ordering: .relaxed)
        letGo()
        #expect(try bench.client.receive() == nil)
    }

    private final class Shared: Sendable {
        let time: Atomic<UInt64>
        init(_ time: consuming Atomic<UInt64>) { self.time = time }
    }

    @Test func aHeldAccessGoesWithItsClient() throws {
        try add("read register=scratch : hold")
        try bench.client.send(.regionRead, wire(UInt64(4), UInt32(0), UInt32(4)))
        while report()?.waiting.isEmpty == true {}
        bench.client.socket.shutDown()
        let next = try Bench(bench.device)
        #expect(report(next)?.waiting == [])
        #expect(try next.read(UInt32.self, at: 0) == 0x0001_11e9)
    }

    @Test func anAccessIsHeldInTheRing() throws {
        let device = try ServedDevice("exerciser")
        let client = try RawClient(path: device.path)
        let ring = try RawRing(client)
        let bench = Bench(device, client)
        try add("write way=ring value=2 : hold", on: bench)
        for data in 1...3 { ring.put(kind: 2, offset: 4, data: UInt32(data)) }
        while report(bench)?.waiting.isEmpty == true {}
        #expect(passed() == [Seen(.write(region: 0, offset: 4, by: .ring), wire(UInt32(1)))])
        // A message behind it waits as well.
        try client.send(.regionRead, wire(UInt64(4), UInt32(0), UInt32(4)))
        device.onThread { function, _ in _ = try? (function.host.alterer as? Injector)?.letGo(nil) }
        #expect(try client.receive()?.field(UInt32.self, at: 16) == 3)
    }

    @Test func aWriteAmidOthersIsHeld() throws {
        let bench = try Bench(offer: #"{"capabilities":{"max_msg_fds":8,"write_multiple":true}}"#)
        try add("write register=scratch value=1 : delay=1ms", on: bench)
        var payload = wire(UInt64(3))
        for number in 0..<3 as Range<UInt64> { payload += wire(UInt64(4), UInt32(0), UInt32(4), number) }
        try bench.call(.regionWriteMulti, payload)
        #expect(passed() == (0..<3).map { Seen(.write(region: 0, offset: 4, by: .message), wire(UInt32($0))) })
        #expect(report(bench)?.rules.map(\.altered) == [1])
    }

    @Test func aCommandByIORegionIsHeld() throws {
        let reply = try bench.call(.deviceGetRegionIOFDs, wire(UInt32(96), UInt32(0), UInt32(0), UInt32(0)))
        let socket = try RawClient(UnixSocket(owning: reply.files[1].descriptor.duplicate()))
        try add("write way=ioregion : hold")
        try socket.send(
            wire(IORegionCommand(isWrite: true, width: 4, wantsResponse: true, userData: 0, offset: 4, data: 9).write))
        while report()?.waiting.isEmpty == true {}
        // Other accesses go on.
        #expect(try bench.read(UInt32.self, at: 4) == 0)
        #expect(try !socket.socket.waitReadable(within: .zero))
        letGo()
        #expect(try socket.socket.waitReadable(within: .seconds(10)))
        #expect(try bench.read(UInt32.self, at: 4) == 9)
    }

    // MARK: Interrupts

    private func vectors(_ count: UInt32 = 4) throws -> [EventFD] {
        let events = try (0..<count).map { _ in try EventFD() }
        try bench.call(
            .deviceSetIRQs, wire(IRQSet(kind: .msix, start: 0, count: count, data: .eventfd, action: .trigger).write),
            descriptors: events.map { $0.descriptor.raw })
        return events
    }

    @Test func anInterruptIsLostOrComesTwice() throws {
        let events = try vectors()
        try add("message vector=1 : drop", "message vector=2 : repeat=2")
        for vector in 0..<4 { try bench.write(UInt32(vector), at: 0x10) }
        #expect(events.map { $0.consume() } == [1, 0, 3, 1])
        let sent = passed().compactMap { if case .message(let vector) = $0.passage { vector } else { nil } }
        #expect(sent == [0, 2, 2, 2, 3])
    }

    @Test func anInterruptComesLater() throws {
        let events = try vectors()
        try add("message vector=1 : hold", "message vector=2 : delay=1ms")
        try bench.write(UInt32(1), at: 0x10)
        try bench.write(UInt32(2), at: 0x10)
        #expect(events[2].wait(within: .seconds(10)) == 1)
        #expect(events[1].consume() == 0)
        letGo()
        #expect(events[1].consume() == 1)
    }

    @Test func anInterruptWithoutCause() throws {
        let events = try vectors()
        try add("write register=scratch : raise=3")
        try bench.write(UInt32(1), at: 4)
        #expect(events[3].wait(within: .seconds(10)) == 1)
        #expect(try bench.read(UInt32.self, at: 4) == 1)
    }

    @Test func aPinThatIsNotHeardOf() throws {
        let event = try EventFD()
        try bench.call(
            .deviceSetIRQs, wire(IRQSet(kind: .intx, start: 0, count: 1, data: .eventfd, action: .trigger).write),
            descriptors: [event.descriptor.raw])
        try add("pin value=1 nth=1 : drop")
        try bench.write(UInt32(1), at: 0x14)
        #expect(event.consume() == 0)
        // Configuration space tells of it all the same.
        #expect(try bench.read(UInt16.self, region: 7, at: 6) & 8 != 0)
        try bench.write(UInt32.max, at: 0x18)
        try bench.write(UInt32(1), at: 0x14)
        #expect(event.consume() == 1)
    }

    // MARK: Doorbells

    @Test func aDoorbellIsLostOrComesLater() throws {
        let reply = try bench.call(.deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), UInt32(0), UInt32(0)))
        let bell = try EventFD(adopting: reply.files[0].descriptor.duplicate())
        try add("doorbell bar=0 nth=1 : drop", "doorbell bar=0 nth=2 : repeat=1", "doorbell bar=0 nth=3 : hold")
        func rung() throws -> UInt64 { try bench.read(UInt64.self, at: 0x78) }
        for expected in [0, 2, 2] as [UInt64] {
            bell.signal()
            for _ in 0..<2 { bench.device.onThread { _, _ in } }
            #expect(try rung() == expected)
        }
        letGo()
        #expect(try rung() == 3)
    }

    @Test func aDoorbellHasAnotherValue() throws {
        let reply = try bench.call(.deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), UInt32(2), UInt32(0)))
        let shadow = try MemoryFile(adopting: reply.files[1].descriptor.duplicate(), size: 4096)
        let bell = try EventFD(adopting: reply.files[0].descriptor.duplicate())
        try add("doorbell bar=2 value=11 : value=12")
        shadow.publish(11, at: 0x10)
        bell.signal()
        for _ in 0..<2 { bench.device.onThread { _, _ in } }
        #expect(try bench.read(UInt64.self, at: 0x90) == 12)
    }

    // MARK: What is over, and what stands still

    /// What waits, once an interrupt and a doorbell do.
    private func holdInterruptAndDoorbell() throws -> (EventFD, [EventFD]) {
        let reply = try bench.call(.deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), UInt32(0), UInt32(0)))
        let bell = try EventFD(adopting: reply.files[0].descriptor.duplicate())
        let events = try vectors()
        try add("message vector=1 : hold", "doorbell : hold")
        try bench.write(UInt32(1), at: 0x10)
        bell.signal()
        while report()?.waiting.count != 2 {}
        return (bell, events)
    }

    /// What one driver is late with never meets the next.
    @Test func whatWaitsDoesNotOutliveAReset() throws {
        let (_, events) = try holdInterruptAndDoorbell()
        try bench.call(.deviceReset, [])
        #expect(report()?.waiting == [])
        letGo()
        #expect(events.map { $0.consume() } == [0, 0, 0, 0])
        #expect(try bench.read(UInt64.self, at: 0x78) == 0)
        // The pin that the reset deasserts isn't held back.
        try add("pin : hold")
        try bench.write(UInt32(1), at: 0x14)
        #expect(report()?.waiting.count == 1)
        try bench.call(.deviceReset, [])
        #expect(report()?.waiting == [])
    }

    @Test func anInterruptWithoutCauseDoesNotOutliveAReset() throws {
        let events = try vectors()
        try add("write register=scratch : raise=3")
        bench.device.onThread { function, _ in
            let value: [UInt32] = [1]
            try? function.write(region: 0, offset: 4, from: value.span.bytes)
            function.reset()
        }
        for _ in 0..<3 { bench.device.onThread { _, _ in } }
        #expect(report()?.rules.map(\.altered) == [1])
        #expect(events[3].consume() == 0)
    }

    /// Neither does it meet another device's state.
    @Test func whatWaitsDoesNotOutliveARestoredState() throws {
        let (_, events) = try holdInterruptAndDoorbell()
        let isRestored = bench.device.onThread { function, _ in
            guard let reader = try? StateReader(function) else { return false }
            var state = [UInt8](repeating: 0, count: reader.size)
            var span = state.mutableSpan
            var bytes = span.mutableBytes
            guard reader.read(into: &bytes) == reader.size else { return false }
            let writer = StateWriter(function)
            return (try? (writer.write(state.span.bytes), writer.finish())) != nil
        }
        #expect(isRestored)
        #expect(report()?.waiting == [])
        #expect(events.map { $0.consume() } == [0, 0, 0, 0])
        #expect(try bench.read(UInt64.self, at: 0x78) == 0)
    }

    /// A guest that is moved has lost nothing.
    @Test func whatWaitsGoesOnBeforeTheFunctionStandsStill() throws {
        let (bell, events) = try holdInterruptAndDoorbell()
        // This one is still in its eventfd when the message comes, or waits by then.
        bell.signal()
        try bench.go(to: .stopCopy)
        #expect(report()?.waiting == [])
        #expect(events.map { $0.consume() } == [0, 1, 0, 0])
        #expect(try bench.read(UInt64.self, at: 0x78) == 2)
    }

    @Test func whatWaitsGoesOnBeforeTheDeviceIsMadeAnew() throws {
        let (_, events) = try holdInterruptAndDoorbell()
        try bench.device.remake("exerciser")
        #expect(report()?.waiting == [])
        #expect(events.map { $0.consume() } == [0, 1, 0, 0])
        #expect(try bench.read(UInt64.self, at: 0x78) == 1)
    }

    /// Of two that are due together, the first has the second forgotten.
    @Test func whatIsForgottenMeanwhileDoesNotGoOn() throws {
        let gone = bench.device.onThread { function, _ -> [Int]? in
            guard let injector = try? Injector(function.host, Self.names),
                (try? injector.add(Rule("pin : hold"), limit: 1)) != nil
            else { return nil }
            var gone: [Int] = []
            let parkings = Parkings()
            for number in 0..<3 {
                let waits = parkings.park(.pin(isAsserted: true), RawSpan(), as: injector) {
                    gone.append(number)
                    parkings.cancel()
                }
                guard waits else { return nil }
            }
            _ = try? injector.letGo(nil)
            return gone
        }
        #expect(gone == [0])
    }

    // MARK: Guest memory

    @Test func memoryIsCorrupted() throws {
        let ram = try GuestRAM(at: 0x10_0000, size: 4096)
        try bench.map(ram)
        ram.file.replace(at: 0, with: ([1, 2, 3, 4] as [UInt8]).span.bytes)
        try add("dma-write address=0x100008 : corrupt", "dma-read nth=2 : value=0x09090909")
        #expect(try bench.transfer(Bench.copy, from: ram.address, to: ram.address + 8, length: 4) == 0)
        let turned = zip(bytes(of: ram, at: 8, count: 4), [1, 2, 3, 4]).map { ($0 ^ $1).nonzeroBitCount }
        #expect(turned.reduce(0, +) == 1)
        #expect(try bench.transfer(Bench.copy, from: ram.address, to: ram.address + 16, length: 4) == 0)
        #expect(bytes(of: ram, at: 16, count: 4) == [9, 9, 9, 9])
    }

    @Test func memoryIsRefusedOrKeptAsItIs() throws {
        let ram = try GuestRAM(at: 0x10_0000, size: 4096)
        try bench.map(ram)
        ram.file.replace(at: 0, with: ([1, 2, 3, 4] as [UInt8]).span.bytes)
        try add("dma-read : errno=EFAULT", "dma-write : drop")
        #expect(try bench.transfer(Bench.copy, from: ram.address, to: ram.address + 8, length: 4) != 0)
        #expect(passed().contains(Seen(.memoryFault(address: ram.address))))
        #expect(try bench.transfer(Bench.fill, to: ram.address, length: 4) == 0)
        #expect(bytes(of: ram, at: 0, count: 4) == [1, 2, 3, 4])
    }

    private func bytes(of ram: GuestRAM, at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        ram.file.copy(at: offset, count: count, into: &raw)
        return bytes
    }

    // MARK: The client

    @Test func theClientIsDisconnected() throws {
        try add("write register=scratch value=13 : disconnect")
        try bench.write(UInt32(12), at: 4)
        try bench.client.send(.regionWrite, wire(UInt64(4), UInt32(0), UInt32(4), UInt32(13)))
        #expect((try? bench.client.receive()) == nil)
        let next = try Bench(bench.device)
        #expect(try next.read(UInt32.self, at: 4) == 13)
    }

    // MARK: What can't be

    @Test func whereNobodyConnectsNothingWaits() throws {
        let host = Host(loop: try EventLoop())
        _ = try Function(DeviceCatalog.make("exerciser", options: [], host: host), host: host)
        let injector = try Injector(host, Self.names)
        for rule in ["read : hold", "write bar=0 : delay=1ms", "read : disconnect"] {
            #expect(throws: InjectionError.cannotWait) { try injector.add(Rule(rule), limit: 1_000_000_000) }
        }
        _ = try injector.add(Rule("message : hold"), limit: 1)
        for number in 1..<Injector.mostRules {
            #expect(try injector.add(Rule("read : value=0"), limit: 1) == number + 1)
        }
        #expect(throws: InjectionError.full) { try injector.add(Rule("read : value=0"), limit: 1) }
        #expect(throws: InjectionError.noSuchRule(99)) { try injector.clear(99) }
        #expect(throws: InjectionError.nothingWaits(1)) { try injector.letGo(1) }
    }

    @Test func aDelayIsWithinTheLimit() throws {
        bench.device.onThread { function, _ in
            let injector = try? Injector(function.host, Self.names)
            #expect(throws: InjectionError.longerThanLimit(1_000_000_000)) {
                try injector?.add(Rule("read : delay=2s"), limit: 1_000_000_000)
            }
            _ = try? injector?.add(Rule("message : delay=60s"), limit: 1_000_000_000)
        }
    }
}
