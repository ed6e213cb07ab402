import Device
import Foundation
import Glibc
import Linux
import Mediation
import Supervision
import Testing
import VFIOUserClient

/// Real device processes, started, watched and replaced.
@Suite struct ManagerTests {
    /// The exerciser's scratch register.
    private static let scratch: UInt64 = 4

    private func read(_ client: Client) throws -> UInt32 {
        try client.read(UInt32.self, region: 0, offset: Self.scratch)
    }

    // MARK: Definitions

    @Test func aDefinitionIsThereUntilItIsUndefined() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let id = InstanceID()
        let instance = try await bench.manager.define(Instance(id: id, parent: "cpu", type: "bochs-display"))
        #expect(instance.state == .stopped)
        #expect(bench.manager.all == [instance])
        #expect(try bench.store.instances() == [instance])
        try await bench.manager.undefine(id)
        #expect(bench.manager.all.isEmpty)
        #expect(try bench.store.instances().isEmpty)
        await expectError(.notFound, "no vGPU \(id). 'mediated list' and 'mediated list -d'") {
            try await bench.manager.undefine(id)
        }
    }

    @Test func whatCanNeverBeMadeIsNotDefined() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        func define(_ parent: String, _ type: String, _ attributes: [Attribute] = []) async throws {
            _ = try await bench.manager.define(
                Instance(id: InstanceID(), parent: parent, type: type, attributes: attributes))
        }
        await expectError(.invalid, "The parents: cpu") { try await define("gpu", "serial") }
        await expectError(.invalid, "no type 'voodoo'") { try await define("cpu", "voodoo") }
        await expectError(.invalid, "no option 'colour'") {
            try await define("cpu", "bochs-display", [Attribute("colour", "red")])
        }
        await expectError(.invalid, "'weight' is '0'") { try await define("cpu", "serial", [Attribute("weight", "0")]) }
        await expectError(.invalid, "'vram' is '9E'") {
            try await define("cpu", "bochs-display", [Attribute("vram", "9E")])
        }
        await expectError(.invalid, "must not hold a zero") {
            try await define("cpu", "serial", [Attribute("line", "pty:/tmp/line\0")])
        }
        await expectError(.exhausted, "\(128 << 20)") {
            try await define("cpu", "bochs-display", [Attribute("vram", "128M")])
        }
        #expect(bench.manager.all.isEmpty)
    }

    @Test func aUUIDIsTakenOnce() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = Instance(id: InstanceID(), parent: "cpu", type: "serial")
        _ = try await bench.manager.define(instance)
        await expectError(.conflict, "already") { _ = try await bench.manager.define(instance) }
        await expectError(.conflict, "already") { _ = try await bench.manager.startTransient(instance) }
    }

    // MARK: Life

    @Test func aStartedVGPUServesAndAStoppedOneIsGone() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started()
        #expect(instance.state == .running)
        let process = try #require(instance.process)
        _ = try process.handle()
        do {
            let client = try Client(path: bench.directories.socket(of: instance.id))
            try client.write(UInt32(77), region: 0, offset: Self.scratch)
            #expect(try read(client) == 77)
        }
        await expectError(.conflict, "running already") { _ = try await bench.manager.start(instance.id) }
        let stopped = try await bench.manager.stop(instance.id)
        #expect(stopped.state == .stopped && stopped.process == nil)
        #expect(throws: Errno.noSuchProcess) { try process.handle() }
        #expect(!FileManager.default.fileExists(atPath: bench.directories.socket(of: instance.id)))
        #expect(!FileManager.default.fileExists(atPath: bench.directories.control(of: instance.id)))
        await expectError(.conflict, "doesn't run") { _ = try await bench.manager.stop(instance.id) }
    }

    @Test func aDeviceProcessIsConfinedAndNotRoot() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let process = try #require(try await bench.started().process)
        let status = try String(contentsOfFile: "/proc/\(process.id)/status", encoding: .utf8)
        #expect(status.contains("NoNewPrivs:\t1"))
        #expect(status.contains("Seccomp:\t2"))
        #expect(!status.contains("Uid:\t0"))
    }

    @Test func eachDeviceProcessHasAUserOfItsOwn() async throws {
        guard geteuid() == 0 else { return }
        let bench = try Bench()
        try await bench.manager.begin()
        var users: Set<UInt32> = []
        for _ in 0..<3 {
            var status = stat()
            let process = try #require(try await bench.started("serial").process)
            #expect(stat("/proc/\(process.id)/fd/0", &status) == 0 || errno == EACCES || errno == ENOENT)
            let text = try String(contentsOfFile: "/proc/\(process.id)/status", encoding: .utf8)
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Uid:") })
            users.insert(try #require(UInt32(line.split(separator: "\t")[1])))
        }
        #expect(users.count == 3 && users.allSatisfy { Manager.Configuration.standardUsers.contains($0) })
    }

    @Test func whatIsStartedWithoutADefinitionIsGoneWhenItStops() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.manager.startTransient(
            Instance(id: InstanceID(), parent: "cpu", type: "serial"))
        #expect(bench.manager.all.map(\.id) == [instance.id])
        _ = try await bench.manager.stop(instance.id)
        #expect(bench.manager.all.isEmpty)
        #expect(try bench.store.instances().isEmpty)
    }

    @Test func whatIsGivenUpWithoutADefinitionCanBeRemoved() async throws {
        let bench = try Bench()
        var instance = Instance(id: InstanceID(), parent: "cpu", type: "serial")
        instance.isDefined = false
        instance.state = .failed
        try bench.store.replace(instance)
        try await bench.manager.begin()
        #expect(bench.manager.all.map(\.id) == [instance.id])
        try await bench.manager.undefine(instance.id)
        #expect(bench.manager.all.isEmpty)
        #expect(try bench.store.instances().isEmpty)
    }

    @Test func aRunningVGPUCanBeUndefinedAndDefinedAgain() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started("serial")
        try await bench.manager.undefine(instance.id)
        #expect(try bench.manager.instance(instance.id).state == .running)
        await expectError(.conflict, "no definition") { try await bench.manager.undefine(instance.id) }
        _ = try await bench.manager.define(Instance(id: instance.id, parent: "cpu", type: "serial"))
        let stopped = try await bench.manager.stop(instance.id)
        #expect(stopped.state == .stopped && stopped.isDefined)
    }

    @Test func aParentGivesNoMoreThanItHas() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let catalogue = try Bench.catalogue
        let (parent, type) = (try catalogue.parent("cpu"), try catalogue.type("bochs-display"))
        func available() -> Int {
            catalogue.availableInstances(of: type, on: parent, bench.manager.all)
        }
        #expect(available() == 4)
        let first = try await bench.started("bochs-display", [Attribute("vram", "32M")])
        #expect(available() == 2)
        _ = try await bench.started("bochs-display", [Attribute("vram", "32M")])
        #expect(available() == 0)
        await expectError(.exhausted, "has 0 left") { _ = try await bench.started("bochs-display") }
        _ = try await bench.manager.stop(first.id)
        #expect(available() == 2)
    }

    @Test func aDeviceThatCannotBeMadeIsToldWithItsReason() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        // Each option is right by itself.
        await expectError(.failed, "video memory") {
            _ = try await bench.started(
                "bochs-display", [Attribute("vram", "1M"), Attribute("resolution", "4096x4096")])
        }
        #expect(bench.manager.all.map(\.state) == [.stopped])
    }

    // MARK: Deaths

    @Test func aDeviceProcessThatDiesIsReplacedAndGoesOnFromItsSavedState() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started()
        let process = try #require(instance.process)
        do {
            let client = try Client(path: bench.directories.socket(of: instance.id))
            try client.write(UInt32(0xfeed), region: 0, offset: Self.scratch)
        }
        // It is saved when its client has left.
        try await bench.awaitSavedState(of: instance.id, holding: 0xfeed)
        let before = try await bench.manager.journal().last
        kill(process.id, SIGKILL)
        let death = await bench.store.entry("died", of: instance.id)
        #expect(death.message.contains("\(process.id) ended by signal 9"))
        _ = await bench.store.entry("started", of: instance.id, after: max(before, death.number))
        let now = try bench.manager.instance(instance.id)
        #expect(now.restarts == 1 && now.process != process)
        let client = try Client(path: bench.directories.socket(of: instance.id))
        #expect(try read(client) == 0xfeed)
    }

    /// Connects, writes something or nothing, and leaves; returns when the manager has noticed, and has saved the state
    /// if it was to.
    private func comeAndGo(_ id: InstanceID, writing value: UInt32?, _ bench: Bench) async throws {
        let last = try await bench.manager.journal().last
        do {
            let client = try Client(path: bench.directories.socket(of: id))
            if let value { try client.write(value, region: 0, offset: Self.scratch) }
        }
        _ = await bench.store.entry("client-left", of: id, after: last)
        // In its turn, so behind that.
        _ = try await bench.manager.modify(id, Modification())
    }

    private func inode(ofStateOf id: InstanceID, _ bench: Bench) throws -> ino_t {
        var status = stat()
        try #require(stat("\(bench.root)/state/vgpu/\(id).state", &status) == 0)
        return status.st_ino
    }

    @Test func aClientThatComesAndGoesHasItsStateSavedOnceInAnInterval() async throws {
        let bench = try Bench { $0.checkpointInterval = .seconds(3600) }
        try await bench.manager.begin()
        let id = try await bench.started().id
        try await comeAndGo(id, writing: 0xfeed, bench)
        try await bench.awaitSavedState(of: id, holding: 0xfeed)
        let first = try inode(ofStateOf: id, bench)
        for value in 1...5 { try await comeAndGo(id, writing: UInt32(value), bench) }
        #expect(try inode(ofStateOf: id, bench) == first)
    }

    @Test func aStateThatHasNotChangedIsNotWritten() async throws {
        let bench = try Bench { $0.checkpointInterval = .zero }
        try await bench.manager.begin()
        let id = try await bench.started().id
        try await comeAndGo(id, writing: 0xfeed, bench)
        try await bench.awaitSavedState(of: id, holding: 0xfeed)
        let first = try inode(ofStateOf: id, bench)
        try await comeAndGo(id, writing: nil, bench)
        #expect(try inode(ofStateOf: id, bench) == first)
        try await comeAndGo(id, writing: 0xbeef, bench)
        try await bench.awaitSavedState(of: id, holding: 0xbeef)
        #expect(try inode(ofStateOf: id, bench) != first)
    }

    @Test func theStateOfOneInUseIsSavedAgainAndAgain() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let checkpoints = Task { [manager = bench.manager] in await manager.keepCheckpoints() }
        defer { checkpoints.cancel() }
        let instance = try await bench.started()
        let client = try Client(path: bench.directories.socket(of: instance.id))
        for value in [UInt32(0xbeef), 0xcafe] {
            try client.write(value, region: 0, offset: Self.scratch)
            try await bench.awaitSavedState(of: instance.id, holding: value)
        }
    }

    @Test func aNewManagerAdoptsWhatRunsAndItsClientNoticesNothing() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started()
        let client = try Client(path: bench.directories.socket(of: instance.id))
        try client.write(UInt32(5), region: 0, offset: Self.scratch)
        try bench.replaceManager()
        try await bench.manager.begin()
        let adopted = try bench.manager.instance(instance.id)
        #expect(adopted.state == .running && adopted.process == instance.process && adopted.restarts == 0)
        #expect(try read(client) == 5)
        // It is watched as before, though it is nobody's child any more for all that this manager knows.
        kill(try #require(instance.process).id, SIGKILL)
        _ = await bench.store.entry("died", of: instance.id)
    }

    @Test func howManyEverAreAdoptedTheDiskIsWaitedForOnce() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        var expected: [InstanceID?] = []
        for _ in 0..<3 { expected.append(try await bench.started().id) }
        try bench.replaceManager()
        try await bench.manager.begin()
        #expect(bench.store.adoptions == [expected])
        for instance in bench.manager.all { #expect(instance.state == .running) }
    }

    @Test func whatAnEarlierManagerHasWrittenDownIsNotWrittenAgain() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started()
        do { _ = try Client(path: bench.directories.socket(of: instance.id)) }
        _ = await bench.store.entry("client-left", of: instance.id)
        let last = try await bench.manager.journal().last
        try bench.replaceManager()
        try await bench.manager.begin()
        do { _ = try Client(path: bench.directories.socket(of: instance.id)) }
        _ = await bench.store.entry("client-left", of: instance.id, after: last)
        let kinds = try await bench.manager.journal(instance: instance.id).entries.map(\.kind)
        #expect(kinds.count { $0 == "client-left" } == 2, "\(kinds)")
        #expect(kinds.count { $0 == "client-connected" } == 2, "\(kinds)")
    }

    @Test func whatDiedWhileNobodyWatchedIsReplaced() async throws {
        let bench = try Bench()
        let id = InstanceID()
        var instance = Instance(id: id, parent: "cpu", type: "serial")
        instance.state = .running
        // Process 1 is there, but is not the one that was started.
        instance.process = ProcessIdentity(id: 1, startTime: 12345, boot: try ProcessIdentity.currentBoot())
        try bench.store.replace(instance, boot: ProcessIdentity.currentBoot())
        try await bench.manager.begin()
        _ = await bench.store.entry("started", of: id)
        let now = try bench.manager.instance(id)
        #expect(now.state == .running && now.restarts == 1)
        _ = try #require(now.process).handle()
    }

    @Test func afterARebootOnlyWhatIsToStartByItselfDoes() async throws {
        let bench = try Bench()
        var ids: [InstanceID] = []
        for isAutostarted in [true, false] {
            var instance = Instance(id: InstanceID(), parent: "cpu", type: "serial", isAutostarted: isAutostarted)
            instance.state = .running
            instance.process = ProcessIdentity(id: 4711, startTime: 1, boot: "another boot")
            try bench.store.replace(instance, boot: "another boot")
            ids.append(instance.id)
        }
        try await bench.manager.begin()
        _ = await bench.store.entry("started", of: ids[0])
        #expect(try bench.manager.instance(ids[0]).state == .running)
        #expect(try bench.manager.instance(ids[1]).state == .stopped)
        // It was stopped by its user, and the daemon is started anew, without a reboot.
        _ = try await bench.manager.stop(ids[0])
        try bench.replaceManager()
        try await bench.manager.begin()
        #expect(try bench.manager.instance(ids[0]).state == .stopped)
    }

    @Test func nothingRunsThatIsNotInTheStore() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let id = InstanceID()
        _ = try await bench.manager.define(Instance(id: id, parent: "cpu", type: "serial"))
        bench.store.isBroken = true
        await expectError(.failed, "Nothing was changed") { _ = try await bench.manager.start(id) }
        #expect(try bench.manager.instance(id).state == .stopped)
        #expect(!FileManager.default.fileExists(atPath: bench.directories.socket(of: id)))
        expectTaken(try #require(bench.store.refused.last?.process))
        bench.store.isBroken = false
        _ = try await bench.manager.start(id)
    }

    /// Expects that a child has ended or will, and that its status is taken: it is no zombie.
    private func expectTaken(_ process: ProcessIdentity) {
        guard let handle = try? process.handle() else { return }
        // It is hung up when the status is taken, from Linux 6.9 on.
        var entry = pollfd(fd: handle.descriptor.raw, events: 0, revents: 0)
        poll(&entry, 1, 30_000)
        #expect(throws: Errno.noSuchProcess) { try handle.send(0) }
    }

    // MARK: Changes while it runs

    @Test func limitsChangeWhileItRunsAndNothingElseDoes() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started(
            "bochs-display", [Attribute("aperture", "32M"), Attribute("vram", "16M")])
        var change = Modification()
        change.attributes = [Attribute("vram", "32M"), Attribute("weight", "50"), Attribute("frame-rate", "30")]
        let changed = try await bench.manager.modify(instance.id, change)
        #expect(changed.process == instance.process)
        let process = try #require(instance.process)
        #expect(try #require(try niceness(of: process.id)) == 3)
        let quota = try await bench.manager.ask(instance.id) { try $0.statistics()["videoMemoryQuota"]?.int }
        #expect(quota == 32 << 20)
        change.attributes = [Attribute("resolution", "800x600")]
        await expectError(.conflict, "only its weight") { _ = try await bench.manager.modify(instance.id, change) }
        change.attributes = [Attribute("vram", "128M")]
        await expectError(.exhausted, "bytes") { _ = try await bench.manager.modify(instance.id, change) }
        change.attributes = []
        change.removedAttributes = ["edid"]
        #expect(try await bench.manager.modify(instance.id, change) == changed)
    }

    /// A serial card has no limit of its own.
    @Test func aWeightNeedsNothingOfTheDevice() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started("serial", [Attribute("weight", "50")])
        let process = try #require(instance.process)
        #expect(try niceness(of: process.id) == 3)
        var change = Modification()
        change.attributes = [Attribute("weight", "10")]
        _ = try await bench.manager.modify(instance.id, change)
        #expect(try niceness(of: process.id) == 10)
    }

    @Test func aFrameRateIsThereFromTheStart() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started("bochs-display", [Attribute("frame-rate", "25")])
        // Asked for nothing, it says what is in force.
        let quota = try await bench.manager.ask(instance.id) { try $0.modify(Quota(videoMemory: 16 << 20)) }
        #expect(quota == Quota(videoMemory: 16 << 20, frameRate: 25))
        await expectError(.invalid, "no option 'frame-rate'") {
            _ = try await bench.started("serial", [Attribute("frame-rate", "25")])
        }
    }

    @Test func lessVideoMemorySurvivesTheDeviceProcess() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started("bochs-display")
        do { _ = try Client(path: bench.directories.socket(of: instance.id)) }
        _ = await bench.store.entry("client-left", of: instance.id)
        var change = Modification()
        change.attributes = [Attribute("vram", "8M")]
        let changed = try await bench.manager.modify(instance.id, change)
        #expect(changed.attributes == [Attribute("vram", "8M")], "nobody has asked for more")
        #expect(changed.aperture == 16 << 20)
        kill(try #require(instance.process).id, SIGKILL)
        let death = await bench.store.entry("died", of: instance.id)
        _ = await bench.store.entry("started", of: instance.id, after: death.number)
        let quota = try await bench.manager.ask(instance.id) { try $0.statistics()["videoMemoryQuota"]?.int }
        #expect(quota == 8 << 20)
        let options = try await bench.manager.ask(instance.id) { try $0.info().options }
        #expect(options.contains("aperture=\(16 << 20)"))
        // The next one has what follows from its attributes, and may become what has no aperture.
        _ = try await bench.manager.stop(instance.id)
        #expect(try bench.manager.instance(instance.id).aperture == nil)
        var another = Modification()
        another.type = "virtio-gpu"
        #expect(try await bench.manager.modify(instance.id, another).type == "virtio-gpu")
    }

    private func niceness(of process: Int32) throws -> Int? {
        let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 16 ? Int(fields[16]) : nil
    }

    @Test func whatHappensToTheDeviceProcessIsInTheJournal() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started()
        do { _ = try Client(path: bench.directories.socket(of: instance.id)) }
        let entry = await bench.store.entry("client-left", of: instance.id)
        #expect(entry.instance == instance.id)
        #expect(try await bench.manager.log(of: instance.id, lines: 100).lines.contains { $0.contains("Serving") })
    }
}
