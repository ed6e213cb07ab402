import Control
import FakeDomains
import Foundation
import Glibc
import Linux
import Mediation
import PCI
import Testing
import VFIOUserClient
import XenSlot

@testable import Supervision

/// vGPUs in the slots of domains. There is no Xen: a program stands in for a device process in a slot
/// (``FakeDomains``).
@Suite struct DomainTests {
    /// Where the exerciser's register is that keeps what is written to it.
    private static let scratch: UInt64 = 4

    private let domains: FakeDomains
    private let bench: Bench
    private var manager: Manager { bench.manager }

    init() throws {
        let domains = try FakeDomains()
        try domains.make(5)
        self.domains = domains
        bench = try Bench { $0.program = domains.program }
    }

    private func guest(_ domain: UInt16 = 5, at slot: String = "00:10.0") throws -> Client {
        try Client(path: domains.socket(domain, slot))
    }

    private func client(of id: InstanceID) throws -> Client { try Client(path: bench.directories.socket(of: id)) }

    /// A vGPU that runs, and was used by somebody who wrote a number.
    private func used(writing value: UInt32) async throws -> InstanceID {
        let id = try await bench.started().id
        try client(of: id).write(value, region: 0, offset: Self.scratch)
        _ = await bench.store.entry("client-left", of: id)
        return id
    }

    /// Waits until what is being done with a vGPU is done.
    private func settle(_ id: InstanceID) async { await manager.turns.take(id) {} }

    private func number(_ client: Client) throws -> UInt32 {
        try client.read(UInt32.self, region: 0, offset: Self.scratch)
    }

    private func address(_ text: String) throws -> FunctionAddress { try #require(FunctionAddress(text)) }

    // MARK: There and back

    @Test func aVGPUGoesIntoASlotWithItsState() async throws {
        try await manager.begin()
        let id = try await used(writing: 0xfeed)
        let before = try manager.instance(id)
        let attached = try await manager.attach(id, to: 5)
        #expect(attached.slot == DomainSlot(domain: 5, address: try address("00:10.0")))
        #expect(attached.state == .running && attached.generation == before.generation)
        #expect(attached.process != nil && attached.process != before.process)
        #expect(try bench.store.instances() == [attached] && manager.all == [attached])
        #expect(try number(guest()) == 0xfeed)
        #expect(!FileManager.default.fileExists(atPath: bench.directories.folder(of: id)))
        #expect(try await manager.ask(id) { try $0.info().name } == "\(id)")
        _ = await bench.store.entry("attached", of: id)
    }

    @Test func aVGPUComesBackWithItsState() async throws {
        try await manager.begin()
        let id = try await used(writing: 0xfeed)
        _ = try await manager.attach(id, to: 5)
        let inDomain = try guest()
        try inDomain.write(UInt32(0xbeef), region: 0, offset: Self.scratch)
        let back = try await manager.detach(id)
        #expect(back.slot == nil && back.state == .running)
        #expect(try bench.store.instances() == [back])
        #expect(try number(client(of: id)) == 0xbeef)
        _ = await bench.store.entry("detached", of: id)
        // Its slot is free.
        #expect(try await manager.attach(bench.started().id, to: 5).slot?.address == address("00:10.0"))
    }

    @Test func slotsAreTakenInTheirOrderUnlessOneIsNamed() async throws {
        try domains.make(6)
        try await manager.begin()
        var ids: [InstanceID] = []
        for _ in 0..<4 { ids.append(try await bench.started("serial").id) }
        #expect(try await manager.attach(ids[0], to: 5, at: address("00:11.0")).slot?.address == address("00:11.0"))
        #expect(try await manager.attach(ids[1], to: 5).slot?.address == address("00:10.0"))
        #expect(try await manager.attach(ids[2], to: 5).slot?.address == address("00:12.0"))
        #expect(try await manager.attach(ids[3], to: 6).slot?.address == address("00:10.0"))
    }

    @Test func aStopTakesItOutOfItsSlot() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        _ = try await manager.attach(id, to: 5)
        let stopped = try await manager.stop(id)
        #expect(stopped.state == .stopped && stopped.slot == nil)
        #expect(try await manager.start(id).slot == nil)
        _ = try client(of: id)
    }

    // MARK: What happens there

    @Test func whenTheDomainEndsTheVGPUIsBackWithItsState() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        _ = try await manager.attach(id, to: 5)
        try guest().write(UInt32(0xbeef), region: 0, offset: Self.scratch)
        let entry = await bench.store.entry("detached", of: id)
        #expect(entry.message.contains("Domain 5 has ended"))
        await settle(id)
        #expect(try manager.instance(id).slot == nil)
        #expect(try number(client(of: id)) == 0xbeef)
    }

    @Test func aProcessThatDiesIsReplacedInTheSameSlot() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        let first = try await manager.attach(id, to: 5)
        var inDomain: Client? = try guest()
        try inDomain?.write(UInt32(0xcafe), region: 0, offset: Self.scratch)
        let keeping = Task { [manager] in await manager.keepCheckpoints() }
        try await bench.awaitSavedState(of: id, holding: 0xcafe)
        keeping.cancel()
        await keeping.value
        kill(try #require(first.process).id, SIGKILL)
        let death = await bench.store.entry("died", of: id)
        let start = await bench.store.entry("started", of: id, after: death.number)
        #expect(start.message.contains("from the saved state, in slot 00:10.0 of domain 5"))
        inDomain = nil
        await settle(id)
        #expect(try manager.instance(id).slot == first.slot)
        #expect(try number(guest()) == 0xcafe)
        // The next one goes on with what Xen has of it.
        #expect(try domains.released().isEmpty)
    }

    @Test func aProcessWhoseDomainIsGoneTooIsReplacedOnItsSocket() async throws {
        try await manager.begin()
        let id = try await used(writing: 0xfeed)
        let first = try await manager.attach(id, to: 5)
        try domains.remove(5)
        kill(try #require(first.process).id, SIGKILL)
        let death = await bench.store.entry("died", of: id)
        // The one that finds no domain is the only one.
        let gone = await bench.store.entry("died", of: id, after: death.number)
        #expect(gone.message.contains("There is no domain 5"))
        _ = await bench.store.entry("detached", of: id)
        let start = await bench.store.entry("started", of: id, after: gone.number)
        #expect(!start.message.contains("slot"))
        #expect(try manager.instance(id).slot == nil)
        #expect(try number(client(of: id)) == 0xfeed)
    }

    @Test func theNextManagerFindsItInItsSlot() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        let attached = try await manager.attach(id, to: 5)
        var inDomain: Client? = try guest()
        _ = await bench.store.entry("client-connected", of: id)
        try bench.replaceManager { [domains] in $0.program = domains.program }
        try await manager.begin()
        #expect(try manager.instance(id).slot == attached.slot && manager.instance(id).process == attached.process)
        await expectError(.conflict, "is in slot 00:10.0 of domain 5 already") {
            _ = try await manager.attach(id, to: 5)
        }
        // The end of its domain is noticed.
        #expect(inDomain != nil)
        inDomain = nil
        let entry = await bench.store.entry("detached", of: id)
        #expect(entry.message.contains("Domain 5 has ended"))
    }

    @Test func anEndThatNobodyWatchedIsNoticedByTheNextManager() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        _ = try await manager.attach(id, to: 5)
        try bench.replaceManager { [domains] in $0.program = domains.program }
        try guest().write(UInt32(0xbeef), region: 0, offset: Self.scratch)
        try await manager.begin()
        _ = await bench.store.entry("detached", of: id)
        await settle(id)
        #expect(try manager.instance(id).slot == nil)
    }

    // MARK: What is left in Xen

    private static let release = "--release-slot --xen 5 --slot 00:10.0 --sandbox"

    @Test func aSlotIsReleasedWhenItsVGPUIsStopped() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        _ = try await manager.attach(id, to: 5)
        _ = try await manager.stop(id)
        #expect(try domains.released() == [Self.release])
    }

    @Test func aSlotIsReleasedWhenItsVGPUIsTakenOut() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        _ = try await manager.attach(id, to: 5)
        _ = try await manager.detach(id)
        #expect(try domains.released() == [Self.release])
    }

    /// The process may say so of a domain that goes on.
    @Test func aSlotIsReleasedWhenItsDomainIsSaidToHaveEnded() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        _ = try await manager.attach(id, to: 5)
        _ = try guest()
        _ = await bench.store.entry("detached", of: id)
        await settle(id)
        #expect(try domains.released() == [Self.release])
    }

    @Test func aSlotIsReleasedWhenItsVGPUIsTakenOutBeforeTheNextProcess() async throws {
        let manager = bench.manager
        try await manager.begin()
        let id = try await bench.started().id
        let attached = try await manager.attach(id, to: 5)
        let hold = bench.store.hold("died")
        kill(try #require(attached.process).id, SIGKILL)
        await hold.isReached()
        async let detached = manager.detach(id)
        hold.letGo()
        #expect(try await detached.slot == nil)
        #expect(try domains.released() == [Self.release])
    }

    @Test func aSlotIsReleasedWhenItsVGPUIsGivenUp() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        let attached = try await manager.attach(id, to: 5)
        try domains.refuse("It hangs.")
        kill(try #require(attached.process).id, SIGKILL)
        _ = await bench.store.entry("died", of: id)
        var last = BackOff()
        for _ in 0..<BackOff.limit { _ = last.wait(after: .zero) }
        await manager.turns.take(id) { [manager, last] in
            guard let now = manager.registry.find(id) else { return }
            await manager.replace(now, because: "It died.", after: .zero, last)
        }
        #expect(try manager.instance(id).state == .failed)
        #expect(try domains.released() == [Self.release])
    }

    @Test func aSlotThatNoProcessCouldServeIsReleased() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        try domains.refuse("It hangs.")
        await expectError(.conflict, "It hangs.") { _ = try await manager.attach(id, to: 5) }
        #expect(try domains.released() == [Self.release])
    }

    @Test func whatCanNotBeReleasedIsInTheJournal() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        _ = try await manager.attach(id, to: 5)
        try domains.refuseRelease("The server is stuck.")
        #expect(try await manager.stop(id).state == .stopped)
        let told = await bench.store.entry("failed", of: id)
        #expect(told.message.contains("releases slot 00:10.0 of domain 5 ended with status 70: The server is stuck."))
    }

    @Test func aReleaseThatHangsHoldsNobody() async throws {
        let bench = try Bench { [domains] in
            $0.program = domains.program
            $0.endLimit = .seconds(2)
        }
        try await bench.manager.begin()
        let id = try await bench.started().id
        _ = try await bench.manager.attach(id, to: 5)
        try domains.holdRelease()
        #expect(try await bench.manager.stop(id).state == .stopped)
        let told = await bench.store.entry("failed", of: id)
        #expect(told.message.contains("No process can release slot 00:10.0 of domain 5"))
    }

    @Test func onlyTheSameStartOfAVGPUGoesOnWithWhatWasLeft() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        let first = try await manager.attach(id, to: 5).generation
        #expect(try domains.identity() == "\(id).\(first)\n")
        _ = try await manager.stop(id)
        let second = try await manager.start(id).generation
        _ = try await manager.attach(id, to: 5)
        #expect(first != second)
        #expect(try domains.identity() == "\(id).\(second)\n")
    }

    // MARK: What is refused

    @Test func whatDoesNotFitTheStateIsAConflict() async throws {
        try await manager.begin()
        let (id, other) = (InstanceID(), try await bench.started("serial").id)
        _ = try await manager.define(Instance(id: id, parent: "cpu", type: "serial"))
        await expectError(.notFound, "There is no vGPU") { _ = try await manager.attach(InstanceID(), to: 5) }
        await expectError(.notFound, "There is no vGPU") { _ = try await manager.detach(InstanceID()) }
        await expectError(.conflict, "start it with 'mediated start \(id)'") { _ = try await manager.attach(id, to: 5) }
        _ = try await manager.start(id)
        await expectError(.conflict, "is in no slot of a domain") { _ = try await manager.detach(id) }
        for domain: UInt16 in [0, 0x7ff0, .max] {
            await expectError(.invalid, "from 1 to 32751") { _ = try await manager.attach(id, to: domain) }
        }
        _ = try await manager.attach(other, to: 5)
        await expectError(.conflict, "The vGPU \(other) is in slot 00:10.0 of domain 5. Name another slot") {
            _ = try await manager.attach(id, to: 5, at: address("00:10.0"))
        }
        await expectError(.conflict, "take it out with 'mediated detach \(other)'") {
            _ = try await manager.attach(other, to: 5)
        }
        #expect(try manager.instance(id).slot == nil)
        _ = try client(of: id)
    }

    @Test func aVGPUWithAClientStaysWithIt() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        let process = try manager.instance(id).process
        let client = try client(of: id)
        try client.write(UInt32(0xfeed), region: 0, offset: Self.scratch)
        await expectError(.conflict, "has a client, such as a virtual machine") {
            _ = try await manager.attach(id, to: 5)
        }
        #expect(try number(client) == 0xfeed)
        #expect(try manager.instance(id).process == process)
    }

    @Test func aClientThatWasRefusedAnAttachLeavesTheSocketToTheNext() async throws {
        try await manager.begin()
        let id = try await bench.started().id
        do {
            let client = try client(of: id)
            await expectError(.conflict, "has a client") { _ = try await manager.attach(id, to: 5) }
            withExtendedLifetime(client) {}
        }
        _ = await bench.store.entry("client-left", of: id)
        _ = try client(of: id)
    }

    @Test func aDomainThatIsNotThereLeavesItOnItsSocketWithItsState() async throws {
        try await manager.begin()
        let id = try await used(writing: 0xfeed)
        await expectError(.notFound, "There is no domain 7. The vGPU \(id) is on its socket again.") {
            _ = try await manager.attach(id, to: 7)
        }
        let instance = try manager.instance(id)
        #expect(instance.state == .running && instance.slot == nil && instance.restarts == 0)
        #expect(try bench.store.instances() == [instance])
        #expect(try number(client(of: id)) == 0xfeed)
        let told = await bench.store.entry("failed", of: id)
        #expect(told.message.contains("can't be in slot 00:10.0 of domain 7"))
    }

    @Test(arguments: [
        "/dev/xen/privcmd: Permission denied. It takes root, or access to the files of /dev/xen.",
        "Slot 00:10.0 of domain 5 is taken. Choose another slot.",
    ])
    func whyTheProcessCanNotBeInTheSlotIsSaid(words: String) async throws {
        try await manager.begin()
        let id = try await used(writing: 0xfeed)
        try domains.refuse(words)
        await expectError(.conflict, words) { _ = try await manager.attach(id, to: 5) }
        #expect(try number(client(of: id)) == 0xfeed)
    }

    @Test(.enabled(if: access("/dev/xen/privcmd", F_OK) != 0, "Xen is here."))
    func withoutXenItIsSaidSo() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let id = try await bench.started().id
        await expectError(.conflict, "Is this the domain 0 of a Xen") { _ = try await bench.manager.attach(id, to: 5) }
        #expect(try bench.manager.instance(id).slot == nil)
        _ = try Client(path: bench.directories.socket(of: id))
    }

    @Test func aStateThatCanNotBeSavedKeepsItWhereItIs() async throws {
        try await manager.begin()
        let id = try await used(writing: 0xfeed)
        let process = try manager.instance(id).process
        let folder = "\(bench.root)/state/vgpu"
        try FileManager.default.moveItem(atPath: folder, toPath: folder + ".aside")
        await expectError(.failed, "stays where it is, as its state can't be saved") {
            _ = try await manager.attach(id, to: 5)
        }
        try FileManager.default.moveItem(atPath: folder + ".aside", toPath: folder)
        #expect(try manager.instance(id).process == process)
        #expect(try number(client(of: id)) == 0xfeed)
    }

    // MARK: Races

    @Test func twoAttachesTogetherGetNotTheSameSlot() async throws {
        let manager = bench.manager
        try await manager.begin()
        let (first, second) = (try await bench.started("serial").id, try await bench.started("serial").id)
        let hold = bench.store.hold("started")
        async let attached = manager.attach(first, to: 5)
        await hold.isReached()
        await expectError(.conflict, "The vGPU \(first) is in slot 00:10.0") {
            _ = try await manager.attach(second, to: 5, at: address("00:10.0"))
        }
        hold.letGo()
        #expect(try await attached.slot?.address == address("00:10.0"))
        #expect(try await manager.attach(second, to: 5).slot?.address == address("00:11.0"))
    }

    @Test func aSlotOfAnAttachThatFailedIsFree() async throws {
        let manager = bench.manager
        try await manager.begin()
        let (first, second) = (try await bench.started("serial").id, try await bench.started("serial").id)
        await expectError(.notFound, "There is no domain 7") { _ = try await manager.attach(first, to: 7) }
        try domains.make(7)
        #expect(try await manager.attach(second, to: 7).slot?.address == address("00:10.0"))
    }

    @Test func noClientComesInTheMidstOfAnAttach() async throws {
        let manager = bench.manager
        try await manager.begin()
        let id = try await bench.started().id
        try domains.holdSaving()
        async let attached = manager.attach(id, to: 5)
        try await blocking { [domains] in try domains.isSaving() }
        #expect(throws: ClientError.system(.noSuchFileOrDirectory)) { try client(of: id) }
        try domains.letSavingGoOn()
        #expect(try await attached.slot != nil)
    }

    @Test func aStopAmidAnAttachStopsWhatIsInTheSlot() async throws {
        let manager = bench.manager
        try await manager.begin()
        let id = try await bench.started().id
        let hold = bench.store.hold("started")
        async let attached = manager.attach(id, to: 5)
        await hold.isReached()
        async let stopped = manager.stop(id)
        hold.letGo()
        #expect(try await attached.slot != nil)
        #expect(try await stopped.state == .stopped)
        #expect(throws: ClientError.self) { try guest() }
        #expect(try bench.store.instances().map(\.state) == [.stopped])
    }

    @Test func aDomainThatEndsAmidADetachIsNoneOfItsBusiness() async throws {
        let manager = bench.manager
        try await manager.begin()
        let id = try await bench.started().id
        _ = try await manager.attach(id, to: 5)
        var inDomain: Client? = try guest()
        try inDomain?.write(UInt32(0xbeef), region: 0, offset: Self.scratch)
        let hold = bench.store.hold("detached")
        async let detached = manager.detach(id)
        await hold.isReached()
        inDomain = nil
        hold.letGo()
        let back = try await detached
        #expect(back.slot == nil)
        // Behind what the end of the domain might have done.
        await settle(id)
        #expect(try manager.instance(id).process == back.process)
        #expect(try await manager.journal(instance: id).entries.count { $0.kind == "detached" } == 1)
        #expect(try number(client(of: id)) == 0xbeef)
    }

    @Test func aDetachWhileItsProcessIsReplacedPutsTheNextOnItsSocket() async throws {
        let manager = bench.manager
        try await manager.begin()
        let id = try await used(writing: 0xfeed)
        let attached = try await manager.attach(id, to: 5)
        let hold = bench.store.hold("died")
        kill(try #require(attached.process).id, SIGKILL)
        await hold.isReached()
        async let detached = manager.detach(id)
        hold.letGo()
        #expect(try await detached.slot == nil)
        let death = await bench.store.entry("died", of: id)
        _ = await bench.store.entry("started", of: id, after: death.number)
        await settle(id)
        #expect(try manager.instance(id).slot == nil)
        #expect(try number(client(of: id)) == 0xfeed)
    }
}
