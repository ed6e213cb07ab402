import Glibc
import Linux
import Mediation
import Supervision
import Testing

/// What an administrator changes while vGPUs run, and they outlive that.
@Suite struct GrantTests {
    /// A parent `cpu` with so much, and a type `small`, if any.
    private func catalogue(videoMemory: Int = 64 << 20, small: InstanceType? = nil) throws -> Catalogue {
        var catalogue = try Bench.catalogue
        catalogue.add(Parent(name: "cpu", description: "", videoMemory: videoMemory))
        if let small { catalogue.types.append(small) }
        return catalogue
    }

    private func small(_ device: String = "bochs-display", _ megabytes: Int = 16, _ resolution: String = "800x600")
        -> InstanceType
    {
        InstanceType(
            name: "small", description: "", device: device, limits: Limits(videoMemory: megabytes << 20), heads: 1,
            options: [Attribute("resolution", resolution)])
    }

    private func available(_ type: String, _ bench: Bench) throws -> Int {
        let (catalogue, instances) = (bench.manager.catalogue, bench.manager.all)
        return catalogue.availableInstances(of: try catalogue.type(type), on: try catalogue.parent("cpu"), instances)
    }

    /// Kills its device process, and waits until the next one is started.
    private func replaceProcess(of id: InstanceID, _ bench: Bench) async throws {
        let last = try await bench.manager.journal().last
        kill(try #require(try bench.manager.instance(id).process).id, SIGKILL)
        // What the first process tells of its own start may come later than that.
        let death = await bench.store.entry("died", of: id, after: last)
        _ = await bench.store.entry("started", of: id, after: death.number)
        // The entry is there before the manager knows of the process; then the vGPU's turn is over.
        _ = try await bench.manager.modify(id, Modification())
    }

    private func change(_ word: String, _ value: String) -> Modification {
        var change = Modification()
        change.attributes = [Attribute(word, value)]
        return change
    }

    @Test func whatRunsStaysCountedAndItselfWhenItsTypeIsGone() async throws {
        let bench = try Bench()
        try bench.replaceManager(try catalogue(small: small()))
        try await bench.manager.begin()
        var ids: [InstanceID] = []
        for _ in 0..<3 { ids.append(try await bench.started("small").id) }
        try bench.replaceManager(try catalogue())
        try await bench.manager.begin()
        #expect(try available("bochs-display", bench) == 1)
        _ = try await bench.started("bochs-display")
        await expectError(.exhausted, "has 0 left") { _ = try await bench.started("bochs-display") }

        #expect(
            try await bench.manager.modify(ids[0], change("weight", "50")).attributes == [Attribute("weight", "50")])
        _ = try await bench.manager.modify(ids[0], change("vram", "8M"))
        #expect(try available("bochs-display", bench) == 0)
        try await replaceProcess(of: ids[1], bench)
        let info = try await bench.manager.ask(ids[1]) { try $0.info() }
        #expect(info.type == "bochs-display" && info.options.contains("vram=\(16 << 20)"), "\(info.options)")
        #expect(info.options.contains("resolution=800x600"))

        _ = try await bench.manager.stop(ids[0])
        await expectError(.invalid, "no type 'small'") { _ = try await bench.manager.start(ids[0]) }
    }

    @Test func aTypeThatChangesIsThatOfTheNextStart() async throws {
        let bench = try Bench()
        try bench.replaceManager(try catalogue(small: small()))
        try await bench.manager.begin()
        let id = try await bench.started("small").id
        try bench.replaceManager(try catalogue(small: small("virtio-gpu", 32, "1024x768")))
        try await bench.manager.begin()
        #expect(try available("small", bench) == 1, "48M are left")
        try await replaceProcess(of: id, bench)
        #expect(try await bench.manager.ask(id) { try $0.info().type } == "bochs-display")
        #expect(try await bench.manager.ask(id) { try $0.statistics()["videoMemoryQuota"]?.int } == 16 << 20)

        _ = try await bench.manager.stop(id)
        // One that doesn't run goes by the types of today.
        await expectError(.invalid, "refresh") { _ = try await bench.manager.modify(id, change("refresh", "75")) }
        _ = try await bench.manager.start(id)
        #expect(try await bench.manager.ask(id) { try $0.info().type } == "virtio-gpu")
        #expect(try await bench.manager.ask(id) { try $0.statistics()["videoMemoryQuota"]?.int } == 32 << 20)
    }

    @Test func aParentThatHasLessThanItsVGPUsTakesBack() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        var ids: [InstanceID] = []
        for _ in 0..<3 { ids.append(try await bench.started("bochs-display").id) }
        try bench.replaceManager(try catalogue(videoMemory: 20 << 20))
        try await bench.manager.begin()
        let (now, instances) = (bench.manager.catalogue, bench.manager.all)
        #expect(now.videoMemoryLeft(of: try now.parent("cpu"), instances) == 0)

        _ = try await bench.manager.modify(ids[0], change("vram", "8M"))
        _ = try await bench.manager.modify(ids[0], change("weight", "50"))
        _ = try await bench.manager.modify(ids[1], change("vram", "16M"))
        await expectError(.exhausted, "has 0 left") {
            _ = try await bench.manager.modify(ids[0], change("vram", "16M"))
        }
        await expectError(.exhausted, "has 0 left") { _ = try await bench.started("bochs-display") }
        try await replaceProcess(of: ids[2], bench)
        for id in ids[1...] { _ = try await bench.manager.stop(id) }
        #expect(now.videoMemoryLeft(of: try now.parent("cpu"), bench.manager.all) == 12 << 20)
    }

    /// Two that are asked for at once, of which one waits for its device process meanwhile.
    @Test func whatIsPromisedToOneIsGivenToNobodyElse() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        var ids: [InstanceID] = []
        for _ in 0..<2 {
            ids.append(try await bench.started("bochs-display", [Attribute("aperture", "64M")]).id)
        }
        let change = change("vram", "40M")
        let outcomes = await withTaskGroup(of: Bool.self) { group in
            for id in ids {
                group.addTask { [manager = bench.manager] in (try? await manager.modify(id, change)) != nil }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.count { $0 } == 1)
    }

    @Test func limitsThatCanNotBeStoredAreNotInForce() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let id = try await bench.started("bochs-display", [Attribute("aperture", "64M")]).id
        bench.store.isBroken = true
        await expectError(.failed, "Nothing was changed") {
            _ = try await bench.manager.modify(id, change("vram", "32M"))
        }
        bench.store.isBroken = false
        #expect(try await bench.manager.ask(id) { try $0.statistics()["videoMemoryQuota"]?.int } == 16 << 20)
    }

    // MARK: Generations

    @Test func aLateStopStopsNobodyElsesStart() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let first = try await bench.started("serial")
        try await replaceProcess(of: first.id, bench)
        #expect(try bench.manager.instance(first.id).generation == first.generation, "it is the same start")
        _ = try await bench.manager.stop(first.id, generation: first.generation)
        let second = try await bench.manager.start(first.id)
        await expectError(.conflict, "since its start \(second.generation): every earlier one is over") {
            _ = try await bench.manager.stop(first.id, generation: first.generation)
        }
        await expectError(.conflict, "it has had no start \(second.generation + 1)") {
            _ = try await bench.manager.stop(first.id, generation: second.generation + 1)
        }
        #expect(try bench.manager.instance(first.id) == second)
        _ = try await bench.manager.stop(first.id, generation: second.generation)
    }

    /// The numbers outlive the vGPUs and the managers.
    @Test func aUUIDThatIsUsedAgainHasAnotherGeneration() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let transient = Instance(id: InstanceID(), parent: "cpu", type: "serial")
        let first = try await bench.manager.startTransient(transient)
        _ = try await bench.manager.stop(transient.id)
        try bench.replaceManager()
        try await bench.manager.begin()
        let second = try await bench.manager.startTransient(transient)
        #expect(second.generation > first.generation)
        await expectError(.conflict, "is over") {
            _ = try await bench.manager.stop(transient.id, generation: first.generation)
        }
    }
}
