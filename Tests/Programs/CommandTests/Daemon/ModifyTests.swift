import JSON
import RunningDaemon
import Testing

/// `mediated modify`
@Suite struct ModifyTests {
    let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    @Test func whatIsStoppedCanBecomeAnother() throws {
        let uuid = try daemon.define("bochs-display", "--attribute", "vram=8M")
        #expect(
            try daemon.output(
                "modify", "-u", uuid, "-t", "virtio-gpu", "--auto", "--owner", "5", "--attribute", "heads=2",
                "--attribute", "vram=32M"
            ).isEmpty)
        let vgpu = try daemon.vgpu(uuid)
        #expect(vgpu.type == "virtio-gpu" && vgpu.autostart && vgpu.owner?.user == 5)
        #expect(vgpu.attributes == ["heads": "2", "vram": "32M"])
        _ = try daemon.output("modify", uuid, "--manual")
        #expect(try !daemon.vgpu(uuid).autostart)
        #expect(try daemon.vgpu(uuid).attributes == vgpu.attributes)
    }

    @Test func attributesAreAddedAndDeletedAsMdevctlDoes() throws {
        let uuid = try daemon.define("bochs-display")
        _ = try daemon.output("modify", "-u", uuid, "--addattr", "vram", "--value", "8M")
        _ = try daemon.output("modify", "-u", uuid, "--addattr=refresh", "--value=75")
        _ = try daemon.output("modify", "-u", uuid, "--addattr=edid", "--value=off")
        #expect(try daemon.vgpu(uuid).attributes == ["vram": "8M", "refresh": "75", "edid": "off"])
        // By number they are edid, refresh, vram.
        _ = try daemon.output("modify", "-u", uuid, "--delattr", "--index", "1")
        #expect(try daemon.vgpu(uuid).attributes == ["vram": "8M", "edid": "off"])
        _ = try daemon.output("modify", "-u", uuid, "--delattr")
        #expect(try daemon.vgpu(uuid).attributes == ["edid": "off"])
        try daemon.expectFailure(64, "no attribute 1: it has those from 0 to 0", "modify", uuid, "--delattr", "-i", "1")
        _ = try daemon.output("modify", "-u", uuid, "--delattr", "-i", "0")
        try daemon.expectFailure(64, "no attribute 0: it has none", "modify", uuid, "--delattr")
    }

    @Test func aFileReplacesTheDefinition() throws {
        let uuid = try daemon.define("bochs-display", "--attribute", "vram=8M", "--attribute", "refresh=75", "--auto")
        let file = try daemon.scratch.write(#"{"mdev_type": "bochs-display", "attrs": [{"vram": "4M"}]}"#, to: "a.json")
        _ = try daemon.output("modify", uuid, "--jsonfile", file)
        let vgpu = try daemon.vgpu(uuid)
        #expect(vgpu.attributes == ["vram": "4M"] && !vgpu.autostart)
        _ = try daemon.output("modify", uuid, "--jsonfile", file, "--auto", "--attribute", "weight=5")
        #expect(try daemon.vgpu(uuid).attributes == ["vram": "4M", "weight": "5"])
        #expect(try daemon.vgpu(uuid).autostart)
    }

    @Test func whileItRunsOnlyItsLimitsChange() throws {
        let vgpu = try daemon.started("bochs-display", "--attribute", "vram=8M")
        try daemon.expectFailure(69, "can change now. Stop it", "modify", vgpu.uuid, "--manual", "-t", "virtio-gpu")
        _ = try daemon.output("modify", vgpu.uuid, "--attribute", "weight=300", "--attribute", "frame-rate=10")
        _ = try daemon.output("modify", vgpu.uuid, "--attribute", "vram=4M")
        let after = try daemon.vgpu(vgpu.uuid)
        #expect(after.pid == vgpu.pid && after.attributes["vram"] == "4M" && after.attributes["weight"] == "300")
        try daemon.expectFailure(69, "can change now. Stop it", "modify", vgpu.uuid, "--attribute", "refresh=75")
        try daemon.expectFailure(69, "can change now. Stop it", "modify", vgpu.uuid, "--owner", "5")
        #expect(try daemon.vgpu(vgpu.uuid) == after)
    }

    @Test func whatCannotBeModifiedIsSaidWhy() throws {
        let uuid = try daemon.define("serial")
        try daemon.expectFailure(64, "There is nothing to change", "modify", uuid)
        try daemon.expectFailure(64, "No vGPU is named", "modify", "--auto")
        try daemon.expectFailure(64, "--auto and --manual exclude", "modify", uuid, "--auto", "--manual")
        try daemon.expectFailure(64, "--addattr and --value go together", "modify", uuid, "--addattr", "a")
        try daemon.expectFailure(64, "--addattr and --value go together", "modify", uuid, "--value", "a")
        try daemon.expectFailure(64, "--index goes with --delattr", "modify", uuid, "--index", "0", "--auto")
        try daemon.expectFailure(
            64, "--addattr and --delattr exclude", "modify", uuid, "--addattr", "a", "--value", "b", "--delattr")
        try daemon.expectFailure(66, "There is no vGPU", "modify", unknownUUID, "--auto")
        try daemon.expectFailure(64, "There is no type 'toaster'", "modify", uuid, "-t", "toaster")
        try daemon.expectFailure(66, "is none of parent 'gpu9'", "modify", uuid, "-p", "gpu9", "--auto")
        try daemon.expectFailure(64, "color", "modify", uuid, "--attribute", "color=red")
        #expect(try daemon.vgpu(uuid).attributes.isEmpty)
    }
}
