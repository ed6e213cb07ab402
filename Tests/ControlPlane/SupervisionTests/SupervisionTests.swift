import Foundation
import Glibc
import JSON
import LingeringSocket
import Linux
import Mediation
import Synchronization
import Testing
import VFIOUserClient

@testable import Supervision

/// What becomes of device processes, of what they start, and of what they leave.
@Suite struct SupervisionTests {
    // MARK: Weight

    /// A process and all that it has started.
    private func family(of process: Int32) throws -> [Int32] {
        var family = [process]
        var index = 0
        while index < family.count {
            let children = "/proc/\(family[index])/task/\(family[index])/children"
            let text = (try? String(contentsOfFile: children, encoding: .utf8)) ?? ""
            family += text.split(separator: " ").compactMap { Int32($0) }
            index += 1
        }
        return family
    }

    /// The nice values of all threads of these processes.
    private func niceness(of processes: [Int32]) throws -> Set<Int> {
        var values: Set<Int> = []
        for process in processes {
            for thread in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task") {
                let text = try? String(contentsOfFile: "/proc/\(process)/task/\(thread)/stat", encoding: .utf8)
                let fields = text?.split(separator: ")").last?.split(separator: " ") ?? []
                if fields.count > 16, let nice = Int(fields[16]) { values.insert(nice) }
            }
        }
        return values
    }

    /// That of the session, where the kernel has such.
    private func sessionNiceness(of process: Int32) -> Int? {
        let text = try? String(contentsOfFile: "/proc/\(process)/autogroup", encoding: .utf8)
        return text?.split(whereSeparator: \.isWhitespace).last.flatMap { Int($0) }
    }

    @Test func theWeightIsTheRenderersTooAndThatOfTheNextOne() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started("virtio-gpu", [Attribute("weight", "50")], of: "software")
        let process = try #require(instance.process).id
        let family = try family(of: process)
        // Itself, the renderer's launcher and the renderer.
        #expect(family.count == 3)
        #expect(try niceness(of: family) == [3])
        if sessionNiceness(of: process) != nil { #expect(sessionNiceness(of: process) == 3) }

        var change = Modification()
        change.attributes = [Attribute("weight", "10"), Attribute("frame-rate", "20")]
        _ = try await bench.manager.modify(instance.id, change)
        #expect(try niceness(of: family) == [10])
        if sessionNiceness(of: process) != nil { #expect(sessionNiceness(of: process) == 10) }
        let rate = try await bench.manager.ask(instance.id) { try $0.statistics()["frameRate"]?.int }
        #expect(rate == 20)

        let last = try await bench.manager.journal().last
        kill(try #require(family.last), SIGKILL)
        _ = await bench.store.entry("device", of: instance.id, after: last)
        var next = try self.family(of: process)
        let deadline = ContinuousClock.now + .seconds(60)
        while next.count < 3 || next == family {
            try #require(ContinuousClock.now < deadline)
            await Task.yield()
            next = try self.family(of: process)
        }
        #expect(try niceness(of: next) == [10])
    }

    @Test func replacementsWaitLongerAndLongerAndEnd() {
        var backOff = BackOff()
        var waits: [Duration] = []
        while let wait = backOff.wait(after: .zero) { waits.append(wait) }
        #expect(waits.count == BackOff.limit && waits.first == .zero)
        #expect(waits == waits.sorted() && Set(waits).count == waits.count)
        // One that lived long makes up for them.
        #expect(backOff.wait(after: BackOff.grown) == .zero)
    }

    // MARK: Who is meant

    @Test func aProcessThatCanNotBeLookedAtIsNotTakenForDead() async throws {
        let bench = try Bench()
        var instance = Instance(id: InstanceID(), parent: "cpu", type: "serial")
        instance.state = .running
        // The kernel refuses to say anything of it.
        instance.process = ProcessIdentity(id: -5, startTime: 1, boot: try ProcessIdentity.currentBoot())
        try bench.store.replace(instance, boot: ProcessIdentity.currentBoot())
        try await bench.manager.begin()
        func known() throws -> Instance { try bench.manager.instance(instance.id) }
        #expect(try known().process == instance.process)
        let entries = try await bench.manager.journal(instance: instance.id).entries
        #expect(entries.map(\.kind) == ["failed"] && entries[0].message.contains("can't be found out yet"))
        await expectError(.failed, "can't be ended") { _ = try await bench.manager.stop(instance.id) }
        #expect(try known().state == .running)
    }

    @Test func anotherProcessWithTheSameIDIsLeftAlone() async throws {
        let bench = try Bench()
        let process = try ChildProcess.spawn("/bin/sleep", ["1000"], passing: [])
        defer { ChildProcess.end(process) }
        var identity = try ProcessIdentity(of: process)
        _ = try identity.handle()
        identity.startTime += 1
        #expect(throws: Errno.noSuchProcess) { try identity.handle() }
        var instance = Instance(id: InstanceID(), parent: "cpu", type: "serial")
        instance.state = .running
        instance.process = identity
        try bench.store.replace(instance, boot: ProcessIdentity.currentBoot())
        try await bench.manager.begin()
        _ = await bench.store.entry("started", of: instance.id)
        _ = try await bench.manager.stop(instance.id)
        _ = try ProcessIdentity(of: process).handle()
    }

    @Test func anAdoptionThatCanNotBeWrittenDownEndsNobody() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started("serial")
        try bench.replaceManager()
        bench.store.isBroken = true
        try await bench.manager.begin()
        bench.store.isBroken = false
        #expect(try bench.manager.instance(instance.id).process == instance.process)
        // It is watched.
        kill(try #require(instance.process).id, SIGKILL)
        _ = await bench.store.entry("died", of: instance.id)
    }

    // MARK: What is left

    @Test func aVGPUThatIsGoneLeavesNoLog() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let defined = try await bench.started("serial")
        let log = bench.directories.log(of: defined.id)
        _ = try await bench.manager.stop(defined.id)
        #expect(FileManager.default.fileExists(atPath: log), "it is there as long as the definition")
        try await bench.manager.undefine(defined.id)
        #expect(!FileManager.default.fileExists(atPath: log))

        let transient = try await bench.manager.startTransient(
            Instance(id: InstanceID(), parent: "cpu", type: "serial"))
        #expect(try await !bench.manager.log(of: transient.id, lines: 1).lines.isEmpty)
        #expect(FileManager.default.fileExists(atPath: bench.directories.log(of: transient.id)))
        _ = try await bench.manager.stop(transient.id)
        #expect(!FileManager.default.fileExists(atPath: bench.directories.log(of: transient.id)))
    }

    @Test func whatVGPUsLeftThatAreGoneIsRemovedAtTheBeginning() async throws {
        let bench = try Bench()
        let (known, gone) = (InstanceID(), InstanceID())
        let strange = InstanceID()
        for id in [known, gone] { try bench.store.replace(Instance(id: id, parent: "cpu", type: "serial")) }
        let end = JournalEntry(time: 1, instance: gone, kind: "undefined", message: "Undefined.")
        _ = try bench.store.commit(StoreChange(removed: [gone], entries: [end]))
        let paths = [known, strange, gone].flatMap {
            [bench.directories.log(of: $0), bench.directories.savedState(of: $0)]
        }
        let others = ["\(bench.root)/log/notes.txt", "\(bench.root)/log/other.log"]
        for path in paths + others {
            try #require(FileManager.default.createFile(atPath: path, contents: Data([1])))
        }
        try await bench.manager.begin()
        // What the journal doesn't know either is of another database, which somebody may put back.
        #expect((paths + others).filter(FileManager.default.fileExists) == Array(paths[..<4]) + others)
    }

    @Test func aManagerKilledDuringAStartLeavesNoSockets() async throws {
        let bench = try Bench()
        let (id, running) = (InstanceID(), try await bench.started("serial"))
        let paths = [bench.directories.socket(of: id), bench.directories.control(of: id)]
        mkdir("\(bench.root)/run/vgpu/\(id)", 0o700)
        for path in paths { _ = try UnixListener(path: path, leavesPath: true) }
        try bench.replaceManager()
        try await bench.manager.begin()
        #expect(paths.filter(FileManager.default.fileExists) == [])
        #expect(!FileManager.default.fileExists(atPath: "\(bench.root)/run/vgpu/\(id)"))
        _ = try await bench.manager.ask(running.id) { try $0.info() }
    }

    @Test func whatIsInTheWayIsNamedAndStays() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let id = InstanceID()
        _ = try await bench.manager.define(Instance(id: id, parent: "cpu", type: "serial"))
        for path in [bench.directories.socket(of: id), bench.directories.control(of: id)] {
            mkdir("\(bench.root)/run/vgpu/\(id)", 0o700)
            try "mine".write(toFile: path, atomically: false, encoding: .utf8)
            await expectError(.failed, "'\(path)': something else is there. Remove it.") {
                _ = try await bench.manager.start(id)
            }
            await expectError(.conflict, "doesn't run") { _ = try await bench.manager.stop(id) }
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
            unlink(path)
        }
        _ = try await bench.manager.start(id)
    }

    @Test func theJournalNamesASavedStateOnlyWhereThereWasOne() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started("serial")
        kill(try #require(instance.process).id, SIGKILL)
        let death = await bench.store.entry("died", of: instance.id)
        let start = await bench.store.entry("started", of: instance.id, after: death.number)
        #expect(!start.message.contains("saved state"), "nobody has ever been its client")
    }

    // MARK: What doesn't end

    @Test(.enabled(if: HangingFile.isPossible, "No file system of FUSE can be mounted here."))
    func aProcessThatCanNotBeKilledHoldsNobodyUp() async throws {
        let bench = try Bench { $0.endLimit = .milliseconds(10) }
        let file = try #require(HangingFile(.open))
        let process = try ChildProcess.spawn("/bin/cat", [file.path], passing: [])
        var stuck = Instance(id: InstanceID(), parent: "cpu", type: "serial")
        stuck.state = .running
        stuck.process = try ProcessIdentity(of: process)
        try bench.store.replace(stuck, boot: ProcessIdentity.currentBoot())
        try await bench.manager.begin()
        let checkpoints = Task { [manager = bench.manager] in await manager.keepCheckpoints() }
        defer { checkpoints.cancel() }
        try #require(file.awaitOperation())
        for _ in 0..<2 {
            await expectError(.busy, "has not ended yet") { _ = try await bench.manager.stop(stuck.id) }
        }
        // The states of others are saved nevertheless.
        let other = try await bench.started()
        let client = try Client(path: bench.directories.socket(of: other.id))
        for value in [UInt32(0xbeef), 0xcafe] {
            try client.write(value, region: 0, offset: 4)
            try await bench.awaitSavedState(of: other.id, holding: value)
        }
        let last = try await bench.manager.journal().last
        file.end()
        _ = await bench.store.entry("stopped", of: stuck.id, after: last)
        // The journal has it before the manager goes on.
        let deadline = ContinuousClock.now + .seconds(60)
        while try bench.manager.instance(stuck.id).state != .stopped {
            try #require(ContinuousClock.now < deadline)
            await Task.yield()
        }
    }

    @Test func foldersThatWereTakenAwayAreNotMadeAgain() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let folder = "\(bench.root)/run/vgpu"
        try FileManager.default.removeItem(atPath: folder)
        await expectError(.failed, "make the socket '\(folder)") { _ = try await bench.started("serial") }
        #expect(!FileManager.default.fileExists(atPath: folder))
    }

    @Test func thereAreNoMoreThanThereMayBe() async throws {
        let bench = try Bench { $0.mostInstances = 2 }
        try await bench.manager.begin()
        func instance() -> Instance { Instance(id: InstanceID(), parent: "cpu", type: "serial") }
        let first = try await bench.manager.define(instance())
        let second = try await bench.manager.startTransient(instance())
        await expectError(.exhausted, "2 vGPUs") { _ = try await bench.manager.define(instance()) }
        await expectError(.exhausted, "Undefine one") { _ = try await bench.manager.startTransient(instance()) }
        // Those that are there can still be started, and defined.
        _ = try await bench.manager.start(first.id)
        _ = try await bench.manager.define(second)
        try await bench.manager.undefine(first.id)
        _ = try await bench.manager.stop(first.id)
        _ = try await bench.manager.define(instance())
    }

    // MARK: Questions

    /// Asks for the statistics of a process that gives none before `isAnswering`, many times at once.
    private func askOften(_ bench: Bench, until isAnswering: EventFD) async throws -> AsyncStream<MediationError?> {
        let impostor = try Impostor(in: bench) { request in
            guard request == "statistics" else { return nil }
            _ = try? waitReadable([isAnswering.descriptor.raw], within: nil)
            return ["frames": 7]
        }
        try await bench.manager.begin()
        let outcomes = AsyncStream<MediationError?>.makeStream()
        for _ in 0..<40 {
            Task { [manager = bench.manager] in
                do throws(MediationError) {
                    _ = try await manager.ask(impostor.instance.id) { try $0.statistics()["frames"]?.int }
                    outcomes.continuation.yield(nil)
                } catch {
                    outcomes.continuation.yield(error)
                }
            }
        }
        return outcomes.stream
    }

    @Test func aProcessThatHangsHoldsUpOneThreadAndFew() async throws {
        let bench = try Bench { $0.answerLimit = .seconds(600) }
        let isAnswering = try EventFD()
        var told = try await askOften(bench, until: isAnswering).makeAsyncIterator()
        // One is asked, 16 wait.
        for _ in 0..<23 {
            let refusal = try #require(await told.next())
            #expect(refusal?.code == .busy, "\(refusal?.description ?? "an answer")")
        }
        let other = try await bench.started("serial")
        _ = try await bench.manager.ask(other.id) { try $0.statistics() }
        isAnswering.signal()
        for _ in 0..<17 {
            let refusal = try #require(await told.next())
            #expect(refusal == nil)
        }
    }

    @Test func whoWaitsForOneThatHangsIsToldInTime() async throws {
        let bench = try Bench { $0.answerLimit = .milliseconds(20) }
        let isAnswering = try EventFD()
        defer { isAnswering.signal() }
        var told = try await askOften(bench, until: isAnswering).makeAsyncIterator()
        var codes: [MediationError.Code?] = []
        for _ in 0..<40 { codes.append(try #require(await told.next())?.code) }
        #expect(Set(codes) == [.failed, .busy], "the one who has asked is told otherwise than those who wait")
    }
}
