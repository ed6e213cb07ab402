import Foundation
import Glibc
import Linux
import Mediation
import Programs
import Renderer
import Testing

@testable import Supervision

/// What control groups are told. A folder of plain files stands for the kernel's: it keeps what was written last to
/// each file, and enforces nothing.
@Suite struct DeviceGroupsTests {
    final class Folder {
        let group = ControlGroup(path: temporaryPath("groups"))

        init(processes: [Int32] = [getpid()], controllers: String = "cpuset cpu io memory pids") throws {
            try add(
                group,
                [
                    "cgroup.procs": processes.map { "\($0)\n" }.joined(), "cgroup.controllers": "\(controllers)\n",
                    "cgroup.subtree_control": "",
                ])
            try add(group.child("daemon"), ["cgroup.procs": ""])
        }

        deinit { try? FileManager.default.removeItem(atPath: group.path) }

        func add(_ group: ControlGroup, _ files: [String: String]) throws {
            try FileManager.default.createDirectory(atPath: group.path, withIntermediateDirectories: true)
            for (name, text) in files {
                try text.write(toFile: "\(group.path)/\(name)", atomically: false, encoding: .utf8)
            }
        }

        /// Makes what the kernel would for a vGPU.
        func add(_ id: InstanceID, without missing: String? = nil) throws -> ControlGroup {
            let names = ["cgroup.procs", "cpu.weight", "memory.max", "memory.oom.group", "pids.max"]
            let group = group.child("vgpu-\(id)")
            try add(group, Dictionary(uniqueKeysWithValues: names.filter { $0 != missing }.map { ($0, "") }))
            return group
        }
    }

    @Test func theDaemonMovesAsideAndPassesItsControllersOn() throws {
        let folder = try Folder()
        let groups = try #require(DeviceGroups(folder.group, of: getpid()))
        #expect(groups.root == folder.group)
        #expect(groups.controllers == ["cpu", "io", "memory", "pids"])
        #expect(try folder.group.child("daemon").read("cgroup.procs") == "\(getpid())")
        #expect(try folder.group.read("cgroup.subtree_control") == "+pids")
    }

    @Test func aDaemonThatWasPutAsideAlreadyFindsTheSameGroup() throws {
        let folder = try Folder(processes: [])
        #expect(DeviceGroups(folder.group.child("daemon"), of: getpid())?.root == folder.group)
    }

    @Test func whatIsNotDelegatedIsLeftAlone() throws {
        // A terminal's, with a shell in it.
        let shared = try Folder(processes: [1, getpid()])
        #expect(DeviceGroups(shared.group, of: getpid()) == nil)
        #expect(try shared.group.child("daemon").read("cgroup.procs") == "")
        #expect(DeviceGroups(ControlGroup(path: "/proc/self"), of: getpid()) == nil)
        #expect(DeviceGroups(ControlGroup(path: ""), of: getpid()) == nil)
    }

    @Test func onlyWhatControllersAreThereIsTold() throws {
        let folder = try Folder(controllers: "cpu")
        let groups = try #require(DeviceGroups(folder.group, of: getpid()))
        let id = InstanceID()
        let group = try folder.add(id)
        try groups.add(7, to: id, Limits(videoMemory: 16 << 20, weight: 300))
        #expect(groups.controllers == ["cpu"])
        #expect(try group.read("cpu.weight") == "300")
        #expect(try group.read("memory.max") == "" && group.read("pids.max") == "")
        #expect(try group.processes == [7])
    }

    @Test func memoryFollowsFromVideoMemory() {
        let none = MemoryBounds(Limits()).shared
        #expect(none > MemoryBounds(Limits()).data)
        // A saved state has a copy.
        #expect(MemoryBounds(Limits(videoMemory: 64 << 20)).shared == none + 128 << 20)
        #expect(MemoryBounds(Limits(videoMemory: .max)).shared == UInt64(Int64.max))
    }

    /// What a guest's Vulkan programs may have honestly ends nobody.
    @Test func aWindowAndContextsOfVulkanHaveRoom() {
        let none = MemoryBounds(Limits(videoMemory: 64 << 20))
        let bounds = MemoryBounds(Limits(videoMemory: 64 << 20, window: 1 << 30))
        let contexts = UInt64(RendererKinds.mostVenusContexts)
        // A blob that is given back keeps its pages until its program has freed them, too.
        #expect(bounds.shared >= none.shared + 2 << 30 + contexts * 37_000_000)
        #expect(bounds.threads >= none.threads + RendererKinds.mostVenusContexts * 33)
        #expect(bounds.data == none.data)
        #expect(MemoryBounds(Limits(window: .max)).shared == UInt64(Int64.max))
    }

    @Test func killsForWantOfMemoryAreCounted() throws {
        let folder = try Folder()
        let groups = try #require(DeviceGroups(folder.group, of: getpid()))
        let id = InstanceID()
        #expect(groups.outOfMemoryKills(of: id) == 0)
        try folder.add(try folder.add(id), ["memory.events": "low 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 1\n"])
        #expect(groups.outOfMemoryKills(of: id) == 2)
    }

    @Test func groupsThatNobodyKnowsAreRemoved() throws {
        let folder = try Folder()
        let groups = try #require(DeviceGroups(folder.group, of: getpid()))
        let (known, unknown) = (InstanceID(), InstanceID())
        for id in [known, unknown] { try folder.group.child("vgpu-\(id)").make() }
        groups.removeAll(but: [known])
        #expect(Set(folder.group.children) == ["daemon", "vgpu-\(known)"])
        groups.remove(known)
        #expect(folder.group.children == ["daemon"])
    }

    // MARK: What the manager does with them

    @Test func aVGPUIsInItsGroupFromTheStartAndLimitsChangeThere() async throws {
        let folder = try Folder()
        let bench = try Bench { $0.controlGroup = folder.group }
        try await bench.manager.begin()
        let id = InstanceID()
        let group = try folder.add(id)
        _ = try await bench.manager.define(
            Instance(id: id, parent: "cpu", type: "bochs-display", attributes: [Attribute("weight", "50")]))
        let process = try #require(try await bench.manager.start(id).process).id
        #expect(try group.processes == [process])
        #expect(try group.read("cpu.weight") == "50" && group.read("memory.oom.group") == "1")
        #expect(try group.read("memory.max") == "\(MemoryBounds(Limits(videoMemory: 16 << 20)).shared)")
        // One of both shares out the processor.
        #expect(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(process)) == 0)

        var change = Modification()
        change.attributes = [Attribute("weight", "700"), Attribute("vram", "8M")]
        _ = try await bench.manager.modify(id, change)
        #expect(try group.read("cpu.weight") == "700")
        #expect(try group.read("memory.max") == "\(MemoryBounds(Limits(videoMemory: 8 << 20)).shared)")
    }

    @Test func aVGPUThatCannotBeBoundedIsNotStarted() async throws {
        let folder = try Folder()
        let bench = try Bench { $0.controlGroup = folder.group }
        try await bench.manager.begin()
        let id = InstanceID()
        _ = try folder.add(id, without: "memory.max")
        _ = try await bench.manager.define(Instance(id: id, parent: "cpu", type: "exerciser"))
        await expectError(.failed, "control group") { _ = try await bench.manager.start(id) }
        #expect(try bench.manager.instance(id).state == .stopped)
    }

    @Test(.disabled(if: ResourceLimit.isSanitized, "a sanitizer has terabytes mapped"))
    func theFirstLimitIsThatOfPrivateMemory() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let process = try #require(try await bench.started().process).id
        let limits = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
        let data = limits.split(separator: "\n").first { $0.hasPrefix("Max data size") }
        #expect(data?.split(separator: " ").dropLast().suffix(2).map(String.init) == ["268435456", "268435456"])
    }
}
