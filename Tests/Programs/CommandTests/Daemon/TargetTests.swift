import FakeQEMU
import Foundation
import JSON
import Linux
import RunningDaemon
import Testing
import VFIOUserClient

/// The commands that take a vGPU's UUID where they take a socket.
@Suite struct TargetTests {
    let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    @Test func infoAndStatisticsComeByTheDaemon() throws {
        let vgpu = try daemon.started("exerciser")
        let socket = try #require(vgpu.socket)
        #expect(try daemon.output("info", vgpu.uuid).contains("\nsocket   \(socket)\n"))
        let info = try JSON(parsing: daemon.output("info", vgpu.uuid, "--json"))
        #expect(info["name"] == .string(vgpu.uuid) && info["process"]?.int == vgpu.pid.map { Int($0) })
        #expect(try daemon.output("statistics", vgpu.uuid).contains("messages 0\n"))
        #expect(try JSON(parsing: daemon.output("statistics", vgpu.uuid, "--json"))["messages"] == 0)
    }

    @Test func aScreenshotComesByTheDaemon() throws {
        let vgpu = try daemon.started("bochs-display")
        let file = daemon.scratch.path("picture.png")
        try daemon.expectFailure(69, "Head 0 shows nothing", "screenshot", vgpu.uuid, file)
        let guest = try Client(path: try #require(vgpu.socket))
        for (register, value) in [(4, 0), (1, 640), (2, 480), (3, 32), (4, 0x41)] as [(UInt64, UInt16)] {
            try guest.write(value, region: 2, offset: 0x500 + register * 2)
        }
        _ = try daemon.output("screenshot", vgpu.uuid, file)
        let png = try [UInt8](Data(contentsOf: URL(fileURLWithPath: file)))
        #expect(png.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]))
        #expect(Array(png[16..<24]) == [0, 0, 2, 128, 0, 0, 1, 224])
        try daemon.expectFailure(64, "must be a number from 0 to 15", "screenshot", vgpu.uuid, file, "--head", "16")
        try daemon.expectFailure(73, "its folder doesn't exist", "screenshot", vgpu.uuid, daemon.scratch.path("a/b"))
    }

    @Test func aStateIsSavedByWhoMayReadIt() throws {
        let vgpu = try daemon.started("exerciser")
        let file = daemon.scratch.path("state.saved")
        _ = try daemon.output("save", vgpu.uuid, file)
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)).count > 10)
        try daemon.expectFailure(66, "There is no control socket", "save", unknownUUID, file)
    }

    @Test func monitorsComeAndGoByTheDaemon() throws {
        let vgpu = try daemon.started("virtio-gpu")
        #expect(try daemon.output("monitor", vgpu.uuid, "0", "off").isEmpty)
        #expect(try daemon.output("monitor", vgpu.uuid, "0", "1280x720").isEmpty)
        try daemon.expectFailure(69, "no head 1", "monitor", vgpu.uuid, "1", "off")
        try daemon.expectFailure(69, "from 640x480", "monitor", vgpu.uuid, "0", "1280x100")
    }

    @Test func rulesHoldForAVGPU() throws {
        let vgpu = try daemon.started("exerciser")
        #expect(try daemon.output("inject", vgpu.uuid, "--rule", "message : drop").contains("message : drop"))
        #expect(try daemon.output("inject", vgpu.uuid, "--list").contains("message : drop"))
        #expect(try daemon.output("inject", vgpu.uuid, "--clear").isEmpty)
        try daemon.expectFailure(66, "There is no control socket", "inject", unknownUUID, "--list")
    }

    @Test func inspectLooksAtItsSocket() throws {
        let vgpu = try daemon.started("bochs-display")
        #expect(try daemon.output("inspect", vgpu.uuid).hasPrefix("\(try #require(vgpu.socket)) Display controller"))
    }

    @Test func attachArgsNameTheSocketThatItHasOrWillHave() throws {
        let uuid = try daemon.define("bochs-display")
        let stopped = try daemon.output("attach-args", uuid)
        _ = try daemon.output("start", uuid)
        #expect(try daemon.output("attach-args", uuid) == stopped)
        #expect(stopped.contains(#""path":"\#(try #require(daemon.vgpu(uuid).socket))""#))
        let socket = try #require(daemon.vgpu(uuid).socket)
        #expect(
            try daemon.output("attach-args", uuid, "--libvirt") == daemon.output("attach-args", socket, "--libvirt"))
        try daemon.expectFailure(66, "There is no vGPU", "attach-args", unknownUUID)
    }

    @Test func attachAndDetachPlugIt() throws {
        let uuid = try daemon.define("bochs-display")
        let qmp = daemon.scratch.path("qmp")
        try daemon.expectFailure(69, "start it with 'mediated start \(uuid)'", "attach", uuid, "--qmp", qmp)
        _ = try daemon.output("start", uuid)
        let socket = try #require(daemon.vgpu(uuid).socket)
        let qemu = try FakeQEMU(at: qmp, answers: FakeQEMU.machine)
        defer { qemu.end() }
        #expect(try daemon.output("attach", uuid, "--qmp", qmp).hasPrefix("id       vgpu0\n"))
        #expect(qemu.requests("device_add").map { $0["socket"]?["path"] } == [.string(socket)])
        // This QEMU has no such device plugged, as far as it says; it is asked for the right one.
        let outcome = try daemon.run("detach", uuid, "--qmp", qmp)
        let same = try daemon.run("detach", socket, "--qmp", qmp)
        #expect(outcome.status == same.status)
        try daemon.expectFailure(66, "There is no vGPU", "detach", unknownUUID, "--qmp", qmp)
    }

    @Test func topShowsAllThatRun() throws {
        let (first, second) = (try daemon.started("exerciser"), try daemon.started("serial"))
        _ = try daemon.define("serial")
        let lines = try daemon.output("top", "--once", "--interval", "0.1").split(separator: "\n")
            .map { $0.split(separator: " ").map(String.init) }
        #expect(lines.count == 3)
        let rows = Dictionary(uniqueKeysWithValues: lines.dropFirst().map { ($0[0], $0) })
        #expect(rows[first.uuid]?.prefix(4) == [first.uuid, "exerciser", "free", "0"])
        #expect(rows[second.uuid]?.prefix(4) == [second.uuid, "serial", "free", "0"])
        let one = try daemon.output("top", second.uuid, "--once", "--interval", "0.1")
        #expect(one.contains(second.uuid) && !one.contains(first.uuid))
        let outcome = try daemon.run("top", unknownUUID, first.uuid, "--once", "--interval", "0.1")
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("\(unknownUUID): There is no vGPU"))
        #expect(outcome.output.contains("\(unknownUUID)  -          gone"))
    }

    @Test func metricsIsTheDaemonsPage() throws {
        let vgpu = try daemon.started("exerciser")
        let page = try daemon.output("metrics")
        #expect(page.contains("mediated_vgpu_up{vgpu=\"\(vgpu.uuid)\"} 1\n"))
        #expect(page.contains("mediated_parent_video_memory_bytes{parent=\"cpu\"}"))
        let file = daemon.scratch.path("page.prom")
        #expect(try daemon.output("metrics", "--output", file).isEmpty)
        #expect(try String(contentsOfFile: file, encoding: .utf8).contains("mediated_vgpu_up"))
        let one = try daemon.output("metrics", vgpu.uuid)
        #expect(one.contains("mediated_vgpu_up{vgpu=\"\(vgpu.uuid)\"} 1\n") && !one.contains("mediated_parent"))
        try daemon.expectFailure(73, "its folder doesn't exist", "metrics", "--output", daemon.scratch.path("a/b"))
    }

    @Test func whatDoesNotRunIsSaidSo() throws {
        let uuid = try daemon.define("bochs-display")
        let file = daemon.scratch.path("file")
        for arguments in [["info"], ["statistics"], ["inspect"]] {
            let outcome = try Command.run(arguments + [uuid, "--root", daemon.root])
            #expect(outcome.status == 69, "\(arguments)")
            let unknown = try Command.run(arguments + [unknownUUID, "--root", daemon.root])
            #expect(unknown.status == 66 && unknown.errors.contains("There is no vGPU"), "\(arguments)")
        }
        try daemon.expectFailure(69, "doesn't run", "screenshot", uuid, file)
        try daemon.expectFailure(66, "There is no vGPU", "screenshot", unknownUUID, file)
        try daemon.expectFailure(64, "not with a UUID", "info", uuid, "--control", "a")
        #expect(!FileManager.default.fileExists(atPath: file))
    }

    @Test func aUUIDInAFolderIsASocket() throws {
        let device = try RunningDevice("exerciser", in: daemon.scratch, socket: unknownUUID)
        #expect(try daemon.output("info", "./\(unknownUUID)").contains("exerciser"))
        #expect(try daemon.output("info", device.socket).contains("exerciser"))
    }

    // MARK: types

    @Test func typesAreThoseOfEachParent() throws {
        let types = try daemon.output("types")
        #expect(types.hasPrefix("cpu\n  bochs-display\n    Available instances: "))
        #expect(types.contains("\n    Device API: vfio-user-pci\n"))
        #expect(types.contains("\n    Video memory: 16M\n    Resolution: 1024x768\n    Heads: 1\n"))
        #expect(types.contains("\n      edid=on|off "))
        #expect(try types.hasPrefix(daemon.output("types", "-p", "cpu")))
        #expect(try daemon.output("types", "-p", "software").hasPrefix("software\n  virtio-gpu\n"))
        try daemon.expectFailure(64, "There is no parent 'gpu9'. The parents: cpu, software", "types", "-p", "gpu9")
    }

    @Test func anAdministratorsTypeIsListedWithItsDevicesDefaultsAsSuch() throws {
        let daemon = try RunningDaemon(types: "types: [{name: wide, device: virtio-gpu, heads: 2}]")
        let types = try daemon.output("types", "-p", "cpu")
        #expect(types.contains("\n    Heads: 2\n"))
        #expect(types.contains("\n    Attributes, with the defaults of virtio-gpu:\n      heads=1..4 "))
        // The exerciser has no attributes.
        #expect(!types.contains("Attributes:\n  wide"))
    }

    @Test func typesAsJSONAddWhatTheDaemonKnows() throws {
        func display() throws -> JSON {
            let types = try #require(JSON(parsing: daemon.output("types", "--json")).array)
            return try #require(types.first { $0["name"] == "bochs-display" })
        }
        let before = try display()
        #expect(before["options"]?.array?.contains { $0["name"] == "vram" } == true)
        #expect(before["summary"]?.string?.isEmpty == false && before["description"] == nil)
        #expect(before["deviceAPI"] == "vfio-user-pci" && before["heads"] == 1 && before["resolution"] == "1024x768")
        #expect(before["videoMemory"] == JSON(16 << 20) && before["parents"]?[0]?["parent"] == "cpu")
        let available = try #require(before["parents"]?[0]?["availableInstances"]?.int)
        _ = try daemon.started("bochs-display")
        #expect(try display()["parents"]?[0]?["availableInstances"]?.int == available - 1)
    }

    @Test func typesDumpjsonIsAsMdevctlHasIt() throws {
        let dump = try JSON(parsing: daemon.output("types", "--dumpjson"))
        let serial = dump[0]?["cpu"]?.array?.compactMap { $0["serial"] }.first
        #expect(serial?["device_api"] == "vfio-user-pci" && serial?["name"] == "serial")
        #expect(serial?["available_instances"]?.int ?? 0 > 0 && serial?["description"]?.string != nil)
        try daemon.expectFailure(64, "exclude each other", "types", "--json", "--dumpjson")
    }
}
