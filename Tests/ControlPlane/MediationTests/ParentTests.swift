import Foundation
import Glibc
import Mediation
import Programs
import Testing

/// The parents that a host has by itself. Most machines have no graphics device: folders stand for `/dev` and `/sys`.
@Suite struct ParentTests {
    private let root = temporaryPath("parents")

    private func discover(hasRenderer: Bool = true) -> [Parent] {
        Parent.discover(videoMemory: 1 << 30, hasRenderer: hasRenderer, devices: "\(root)/dev", system: "\(root)/sys")
    }

    private func write(_ text: String, to path: String) throws {
        let url = URL(fileURLWithPath: "\(root)/\(path)")
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try text.write(to: url, atomically: false, encoding: .utf8)
    }

    private var catalogue: Catalogue {
        get throws { Catalogue(parents: discover(), types: try Catalogue.builtInTypes()) }
    }

    @Test func aHostWithoutGraphicsHasItsProcessor() {
        #expect(discover(hasRenderer: false).map(\.name) == ["cpu"])
        #expect(discover().map(\.name) == ["cpu", "software"])
    }

    @Test func eachRenderNodeIsAParent() throws {
        defer { try? FileManager.default.removeItem(atPath: root) }
        for name in ["renderD129", "card0", "renderD128"] { try write("", to: "dev/dri/\(name)") }
        try write("DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\n", to: "sys/class/drm/renderD128/device/uevent")
        try write("17163091968\n", to: "sys/class/drm/renderD128/device/mem_info_vram_total")
        let parents = discover()
        #expect(parents.map(\.name) == ["cpu", "software", "renderD128", "renderD129"])
        #expect(parents[2].videoMemory == 17_163_091_968)
        #expect(parents[2].description == "OpenGL, drawn by amdgpu at 0000:03:00.0.")
        #expect(parents[2].renderer == .node("\(root)/dev/dri/renderD128"))
        #expect(parents[3].videoMemory == 1 << 30)
    }

    @Test func aParentDecidesWhoDraws() throws {
        defer { try? FileManager.default.removeItem(atPath: root) }
        try write("", to: "dev/dri/renderD128")
        func options(_ parent: String) throws -> [String] {
            let instance = Instance(id: InstanceID(), parent: parent, type: "virtio-gpu")
            return try catalogue.device(of: instance).options.filter { $0.hasPrefix("render") }
        }
        #expect(try options("cpu") == [])
        #expect(try options("software") == ["renderer=virgl"])
        #expect(try options("renderD128") == ["render-node=\(root)/dev/dri/renderD128", "renderer=virgl"])
    }

    @Test func aTypeOfTheAdministratorsHasVulkan() throws {
        defer { try? FileManager.default.removeItem(atPath: root) }
        try write("", to: "dev/dri/renderD128")
        var catalogue = try catalogue
        catalogue.types.append(
            InstanceType(
                name: "vulkan", description: "", device: "virtio-gpu", limits: Limits(videoMemory: 64 << 20),
                options: [Attribute("renderer", "virgl+venus"), Attribute("window", "256M")]))
        let node = ["render-node=\(root)/dev/dri/renderD128"]
        for (parent, node) in [("cpu", []), ("software", []), ("renderD128", node)] {
            let instance = Instance(id: InstanceID(), parent: parent, type: "vulkan")
            try catalogue.check(instance)
            let options = try catalogue.device(of: instance).options
            #expect(options.filter { $0.hasPrefix("render") } == node + ["renderer=virgl+venus"])
            #expect(options.contains("window=256M"))
            #expect(try catalogue.limits(of: instance).window == 256 << 20)
        }
        #expect(try catalogue.limits(of: Instance(id: InstanceID(), parent: "cpu", type: "virtio-gpu")).window == 0)
        // The bound on its memory isn't raised by whoever may define a vGPU.
        let own = Instance(id: InstanceID(), parent: "cpu", type: "vulkan", attributes: [Attribute("window", "16G")])
        let refusal = #expect(throws: MediationError.self) { try catalogue.check(own) }
        #expect(refusal?.description.contains("'window' can't be chosen") == true)
    }

    /// A render node is any file of the host's, which root opens: it isn't chosen by whoever may define a vGPU.
    @Test(arguments: ["renderer=virgl", "renderer=none", "render-node=/etc/shadow"], ["cpu", "software"])
    func nobodyElseDecidesWhoDraws(word: String, parent: String) throws {
        let sides = word.split(separator: "=").map(String.init)
        let attribute = Attribute(sides[0], sides[1])
        let catalogue = try catalogue
        let instance = Instance(id: InstanceID(), parent: parent, type: "virtio-gpu", attributes: [attribute])
        do throws(MediationError) {
            try catalogue.check(instance)
            Issue.record("It was taken.")
        } catch {
            #expect(error.code == .invalid && error.description.contains("'\(attribute.name)'"), "\(error)")
            #expect(error.description.hasSuffix("For 3D take software."), "\(error)")
        }
    }

    @Test func whatIsTooLongIsNotStored() throws {
        let catalogue = try catalogue
        func check(_ attribute: Attribute) throws(MediationError) {
            try catalogue.check(
                Instance(id: InstanceID(), parent: "cpu", type: "serial", attributes: [attribute]))
        }
        try check(Attribute("line", "unix:/" + String(repeating: "x", count: 100)))
        for attribute in [
            Attribute("line", String(repeating: "x", count: 4097)), Attribute(String(repeating: "x", count: 65), "1"),
        ] {
            let error = #expect(throws: MediationError.self) { try check(attribute) }
            #expect(error?.code == .invalid)
            #expect(error?.description.contains("can have") == true, "\(error?.description ?? "")")
        }
    }

    @Test func aParentWithARendererBacksOnlyWhatDraws() throws {
        let catalogue = try catalogue
        let software = try catalogue.parent("software")
        for type in catalogue.types {
            #expect(software.backs(type) == (type.name == "virtio-gpu"))
            #expect((catalogue.availableInstances(of: type, on: software, []) > 0) == (type.name == "virtio-gpu"))
        }
        let instance = Instance(id: InstanceID(), parent: "software", type: "serial")
        do throws(MediationError) {
            try catalogue.check(instance)
            Issue.record("It was taken.")
        } catch {
            #expect(error.code == .invalid && error.description.hasSuffix("Take cpu."), "\(error)")
        }
    }

    @Test func anAdministratorSaysWhatAParentHas() throws {
        var catalogue = try catalogue
        catalogue.add(Parent(name: "software", description: "", videoMemory: 5 << 20))
        catalogue.add(Parent(name: "mine", description: "Mine", videoMemory: 1 << 20))
        let software = try catalogue.parent("software")
        #expect(software.videoMemory == 5 << 20 && software.renderer == .software && !software.description.isEmpty)
        #expect(catalogue.parents.map(\.name) == ["cpu", "software", "mine"])
    }
}
