import Glibc
import Linux
import Mediation
import Testing

@testable import Supervision

/// What is asked for while something else is under way: the disk hangs in the middle of each of these.
@Suite struct RaceTests {
    private func definition(_ type: String = "serial", _ attributes: [Attribute] = []) -> Instance {
        Instance(id: InstanceID(), parent: "cpu", type: type, attributes: attributes)
    }

    /// A manager that knows two vGPUs.
    private func two(
        _ type: String = "serial", _ attributes: [Attribute] = [],
        configure: (inout Manager.Configuration) -> Void = { _ in }
    ) async throws -> (Bench, InstanceID, InstanceID) {
        let bench = try Bench(configure: configure)
        try await bench.manager.begin()
        let first = try await bench.manager.define(definition(type, attributes)).id
        let second = try await bench.manager.define(definition(type, attributes)).id
        return (bench, first, second)
    }

    // MARK: What several want

    @Test func twoStartsTogetherGetNoMoreThanThereIs() async throws {
        let (bench, first, second) = try await two("bochs-display", [Attribute("vram", "48M")])
        let manager = bench.manager
        let hold = bench.store.hold("started")
        async let started = manager.start(first)
        await hold.isReached()
        #expect(try manager.instance(first).state == .stopped, "it is believed when it is stored")
        await expectError(.exhausted, "has \(16 << 20) left") { _ = try await manager.start(second) }
        hold.letGo()
        #expect(try await started.state == .running)
        await expectError(.exhausted, "has \(16 << 20) left") { _ = try await manager.start(second) }
    }

    @Test func whatAStartHasClaimedIsFreeWhenItFails() async throws {
        let (bench, first, second) = try await two("bochs-display", [Attribute("vram", "48M")])
        let manager = bench.manager
        bench.store.isBroken = true
        await expectError(.failed, "Nothing was changed") { _ = try await manager.start(first) }
        bench.store.isBroken = false
        #expect(try await manager.start(second).state == .running)
    }

    @Test func whatALimitIsAboutToBecomeIsNobodyElses() async throws {
        let (bench, first, second) = try await two(
            "bochs-display", [Attribute("vram", "16M"), Attribute("aperture", "64M")])
        let manager = bench.manager
        _ = try await manager.start(first)
        func change(_ value: String) -> Modification {
            var change = Modification()
            change.attributes = [Attribute("vram", value)]
            return change
        }
        // More, and less again: what it may have at either time is its own until it is stored.
        for value in ["56M", "16M"] {
            let hold = bench.store.hold("modified")
            async let modified = manager.modify(first, change(value))
            await hold.isReached()
            await expectError(.exhausted, "has \(8 << 20) left") { _ = try await manager.start(second) }
            hold.letGo()
            _ = try await modified
        }
        #expect(try await manager.start(second).state == .running)
    }

    @Test(.enabled(if: geteuid() == 0, "Only root can be somebody else."))
    func twoStartsTogetherGetNotTheSameUser() async throws {
        let user = Manager.Configuration.standardUsers.lowerBound
        let (bench, first, second) = try await two { $0.users = user..<user + 1 }
        let manager = bench.manager
        let hold = bench.store.hold("started")
        async let started = manager.start(first)
        await hold.isReached()
        await expectError(.exhausted, "Each of the 1 users") { _ = try await manager.start(second) }
        hold.letGo()
        #expect(try await started.state == .running)
        await expectError(.exhausted, "Each of the 1 users") { _ = try await manager.start(second) }
        _ = try await manager.stop(first)
        #expect(try await manager.start(second).state == .running)
    }

    @Test func aUserIsFreeWhenItsLastProcessIsGone() throws {
        let users = Users(7..<9)
        let id = InstanceID()
        var leases = [try users.lease(for: id), try users.lease(for: id)]
        #expect(Set(leases.map { $0?.user }) == [7, 8])
        #expect(throws: MediationError.self) { try users.lease(for: id) }
        // Two daemons' may be the same, and other users are nobody's here.
        let other = try #require(users.lease(of: 7))
        #expect(users.lease(of: 9) == nil)
        leases = leases.filter { $0?.user != 7 }
        #expect(throws: MediationError.self) { try users.lease(for: id) }
        other.giveBack()
        other.giveBack()
        #expect(try users.lease(for: id)?.user == 7)
    }

    @Test func twoDefinitionsTogetherAreNoMoreThanThereMayBe() async throws {
        let bench = try Bench { $0.mostInstances = 1 }
        let manager = bench.manager
        try await manager.begin()
        let hold = bench.store.hold("defined")
        async let defined = manager.define(definition())
        await hold.isReached()
        await expectError(.exhausted, "1 vGPUs") { _ = try await manager.define(definition()) }
        hold.letGo()
        #expect(try await defined.state == .stopped)
    }

    // MARK: The same vGPU

    @Test func aUUIDThatIsDefinedTwiceAtOnceIsTakenOnce() async throws {
        let bench = try Bench()
        let manager = bench.manager
        try await manager.begin()
        let (instance, hold) = (definition(), bench.store.hold("defined"))
        async let first = manager.define(instance)
        await hold.isReached()
        let second = Task { [manager] in try await manager.define(instance) }
        hold.letGo()
        #expect(try await first.id == instance.id)
        await expectError(.conflict, "already") { _ = try await second.value }
        #expect(manager.all.map(\.id) == [instance.id])
    }

    @Test func aVGPUIsThereUntilItsEndIsStoredAndOthersWaitForNothing() async throws {
        let (bench, first, second) = try await two()
        let manager = bench.manager
        _ = try await manager.start(second)
        let hold = bench.store.hold("undefined")
        async let undefined: Void = manager.undefine(first)
        await hold.isReached()
        // The disk hangs. What there is can be seen, and device processes answer.
        #expect(manager.all.map(\.id) == [first, second])
        #expect(try manager.instance(first).isDefined)
        #expect(try await manager.ask(second) { try $0.info().name } == "\(second)")
        #expect(try await !manager.log(of: second, lines: 1).lines.isEmpty)
        async let again = manager.define(Instance(id: first, parent: "cpu", type: "exerciser"))
        hold.letGo()
        try await undefined
        #expect(try await again.type == "exerciser")
        #expect(manager.all.map(\.id) == [second, first])
    }

    @Test func aVGPUWhoseDeathIsBeingStoredCanBeStopped() async throws {
        let (bench, first, _) = try await two()
        let manager = bench.manager
        _ = try await manager.start(first)
        let process = try #require(try manager.instance(first).process)
        let hold = bench.store.hold("died")
        kill(process.id, SIGKILL)
        await hold.isReached()
        #expect(try manager.instance(first).process == process)
        async let stopped = manager.stop(first)
        hold.letGo()
        #expect(try await stopped.state == .stopped)
        #expect(try bench.store.instances().map(\.state) == [.stopped, .stopped])
    }

    @Test func aDeathThatCanNotBeWrittenDownIsWrittenDownLater() async throws {
        let bench = try Bench { $0.endLimit = .milliseconds(10) }
        let manager = bench.manager
        try await manager.begin()
        let instance = try await bench.started("serial")
        bench.store.isBroken = true
        kill(try #require(instance.process).id, SIGKILL)
        await bench.store.refusal()
        bench.store.isBroken = false
        let death = await bench.store.entry("died", of: instance.id)
        _ = await bench.store.entry("started", of: instance.id, after: death.number)
    }

    // MARK: Order

    @Test func aJournalsLastNumberIsNeverBelowItsEntries() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        // As one that is stored after the journal was asked for, and before it is read.
        let entry = try #require(
            try bench.store.commit(
                StoreChange(entries: [JournalEntry(time: 1, instance: nil, kind: "denied", message: "x")])
            ).last)
        let (entries, last) = try await bench.manager.journal()
        #expect(entries.last == entry)
        #expect(last == entry.number)
    }

    @Test func whatIsBelievedIsInTheOrderInWhichItWasStored() async throws {
        let bench = try Bench()
        let manager = bench.manager
        try await manager.begin()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<64 {
                group.addTask { [manager] in
                    let instance = Instance(id: InstanceID(), parent: "cpu", type: "serial")
                    await #expect(throws: Never.self) { try await manager.define(instance) }
                }
            }
        }
        #expect(try manager.all == bench.store.instances())
        #expect(manager.all.count == 64)
    }

    @Test func turnsAreTakenOneAfterTheOtherAndWhoIsCancelledKeepsTheirs() async throws {
        let (turns, id) = (Turns(), InstanceID())
        let (order, notes) = AsyncStream<Int>.makeStream()
        func note(_ number: Int) { notes.yield(number) }
        let (begun, begin) = AsyncStream<Void>.makeStream()
        let gate = AsyncStream<Void>.makeStream()
        let first = Task {
            await turns.take(id) {
                begin.finish()
                for await _ in gate.stream {}
                note(1)
            }
        }
        for await _ in begun {}
        let second = Task {
            await turns.take(id) { note(Task.isCancelled ? 2 : -2) }
        }
        second.cancel()
        // Another's turn is no matter of these.
        await turns.take(InstanceID()) { note(0) }
        gate.continuation.finish()
        await first.value
        await second.value
        await turns.take(id) { note(3) }
        // Who throws has had their turn.
        await #expect(throws: Errno.canceled) {
            try await turns.take(id) { () async throws(Errno) in throw Errno.canceled }
        }
        await turns.take(id) { note(4) }
        notes.finish()
        #expect(await order.reduce(into: []) { $0.append($1) } == [0, 1, 2, 3, 4])
    }
}
