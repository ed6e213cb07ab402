import Foundation
import JSON
import RunningDaemon
import Testing

/// `mediated define`, `undefine`, `list`
@Suite struct DefinitionTests {
    let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    // MARK: define

    @Test func aDefinitionWithoutUUIDGetsOneWhichIsPrinted() throws {
        let output = try daemon.output("define", "--type", "serial", "--parent", "cpu")
        let uuid = try #require(output.split(separator: "\n").first.map(String.init))
        #expect(output == uuid + "\n")
        #expect(UUID(uuidString: uuid) != nil && uuid == uuid.lowercased())
        let vgpu = try daemon.vgpu(uuid)
        #expect(vgpu.parent == "cpu" && vgpu.type == "serial" && vgpu.state == "stopped")
        #expect(vgpu.defined && !vgpu.autostart && vgpu.attributes.isEmpty && vgpu.owner == nil)
    }

    @Test(arguments: [["-u"], ["--uuid"], []]) func aUUIDIsTakenInEitherCaseAndWrittenInLowerCase(
        option: [String]
    ) throws {
        let uuid = UUID().uuidString
        let outcome = try Command.run(["define", "-t", "serial", "--root", daemon.root] + option + [uuid])
        #expect(outcome.status == 0 && outcome.output.isEmpty)
        #expect(try daemon.output("list", "-d").contains(uuid.lowercased()))
    }

    @Test func attributesAutostartAndOwnerAreKept() throws {
        let uuid = try daemon.define(
            "bochs-display", "--attribute", "vram=8M", "--attribute", "weight=200", "--auto", "--owner", "root:65534")
        let vgpu = try daemon.vgpu(uuid)
        #expect(vgpu.attributes == ["vram": "8M", "weight": "200"])
        #expect(vgpu.autostart)
        #expect(vgpu.owner?.user == 0 && vgpu.owner?.group == 65534)
    }

    @Test(
        arguments: [("12", 12, nil), ("root", 0, nil), (":root", nil, 0), (":7", nil, 7), ("3:", 3, nil)]
            as [(String, UInt32?, UInt32?)])
    func anOwnerIsAUserAGroupOrBoth(owner: String, user: UInt32?, group: UInt32?) throws {
        let vgpu = try daemon.vgpu(try daemon.define("serial", "--owner", owner))
        #expect(vgpu.owner?.user == user && vgpu.owner?.group == group)
    }

    @Test func whatMdevctlDumpsCanBeDefined() throws {
        let first = try daemon.define("bochs-display", "--attribute", "vram=8M", "--auto")
        let dump = try daemon.output("list", "-d", "--dumpjson", "-u", first)
        let file = try daemon.scratch.write(dump, to: "definition.json")
        let second = try daemon.output("define", "--parent", "cpu", "--jsonfile", file, "--attribute", "weight=7")
        let vgpu = try daemon.vgpu(String(second.dropLast()))
        #expect(vgpu.type == "bochs-display" && vgpu.autostart)
        #expect(vgpu.attributes == ["vram": "8M", "weight": "7"])
    }

    @Test func aFileMayLeaveTheTypeToTheCommand() throws {
        let file = try daemon.scratch.write(#"{"start": "manual", "attrs": []}"#, to: "definition.json")
        #expect(try daemon.vgpu(daemon.define("serial", "--jsonfile", file)).type == "serial")
        try daemon.expectFailure(64, "'mdev_type' is missing", "define", "--jsonfile", file)
    }

    @Test func whatCannotBeDefinedIsSaidWhy() throws {
        let uuid = try daemon.define("serial")
        try daemon.expectFailure(69, "There is a vGPU \(uuid) already", "define", "-u", uuid, "-t", "serial")
        try daemon.expectFailure(64, "There is no type 'toaster'", "define", "-t", "toaster")
        try daemon.expectFailure(64, "There is no parent 'gpu9'", "define", "-t", "serial", "-p", "gpu9")
        try daemon.expectFailure(64, "color", "define", "-t", "serial", "--attribute", "color=red")
        try daemon.expectFailure(64, "'vram' must be NAME=VALUE", "define", "-t", "serial", "--attribute", "vram")
        try daemon.expectFailure(64, "'=1' must be NAME=VALUE", "define", "-t", "serial", "--attribute", "=1")
        try daemon.expectFailure(64, "'weight' is '0'", "define", "-t", "serial", "--attribute", "weight=0")
        try daemon.expectFailure(64, "There is no user 'no body'", "define", "-t", "serial", "--owner", "no body")
        try daemon.expectFailure(64, "There is no group 'none'", "define", "-t", "serial", "--owner", "0:none")
        try daemon.expectFailure(64, "must be USER, USER:GROUP", "define", "-t", "serial", "--owner", ":")
        try daemon.expectFailure(64, "Give a type by --type", "define")
        try daemon.expectFailure(64, "named twice", "define", uuid, "-u", uuid, "-t", "serial")
        try daemon.expectFailure(64, "'42' is invalid", "define", "42", "-t", "serial")
        try daemon.expectFailure(66, "There is no vGPU \(unknownUUID)", "define", unknownUUID)
        #expect(try JSON(parsing: daemon.output("list", "-d", "--json")).array?.count == 1)
    }

    @Test func aFileThatIsNoDefinitionIsSaidSo() throws {
        func expectFailure(_ status: Int32, _ words: String, _ text: String) throws {
            let file = try daemon.scratch.write(text, to: "definition.json")
            try daemon.expectFailure(status, words, "define", "--jsonfile", file)
        }
        try expectFailure(64, "is no JSON: byte", "{")
        try expectFailure(64, "it must be an object", "[]")
        try expectFailure(64, "'start' is \"often\"", #"{"mdev_type": "serial", "start": "often"}"#)
        try expectFailure(64, "There is no type 'i915-GVTg_V5_4'", #"{"mdev_type": "i915-GVTg_V5_4"}"#)
        try daemon.expectFailure(66, "Can't read the definition", "define", "--jsonfile", daemon.scratch.path("none"))
        let file = try daemon.scratch.write(#"{"mdev_type": "serial"}"#, to: "definition.json")
        try daemon.expectFailure(
            64, "--type says 'exerciser', but the file says 'serial'", "define", "--jsonfile", file, "-t", "exerciser")
    }

    // MARK: undefine

    @Test func anUndefinedOneIsGone() throws {
        let uuid = try daemon.define("serial")
        try daemon.expectFailure(66, "is none of parent 'gpu9' but of 'cpu'", "undefine", uuid, "-p", "gpu9")
        #expect(try daemon.output("undefine", "-u", uuid, "-p", "cpu").isEmpty)
        #expect(try daemon.output("list", "--defined").isEmpty)
        try daemon.expectFailure(66, "There is no vGPU \(uuid)", "undefine", "-u", uuid)
        try daemon.expectFailure(64, "No vGPU is named", "undefine")
    }

    @Test func oneThatRunsGetsItsDefinitionAndLosesIt() throws {
        let vgpu = try daemon.started()
        try daemon.expectFailure(69, "has no definition", "undefine", vgpu.uuid)
        #expect(try daemon.output("define", "-u", vgpu.uuid, "--auto").isEmpty)
        let defined = try daemon.vgpu(vgpu.uuid)
        #expect(defined.defined && defined.autostart && defined.pid == vgpu.pid)
        #expect(try daemon.output("undefine", vgpu.uuid).isEmpty)
        #expect(try daemon.vgpu(vgpu.uuid).pid == vgpu.pid)
        #expect(try daemon.output("stop", vgpu.uuid).isEmpty)
        #expect(try daemon.output("list", "-d").isEmpty)
    }

    // MARK: list

    @Test func whereNothingIsNothingIsListed() throws {
        #expect(try daemon.output("list").isEmpty)
        #expect(try daemon.output("list", "-d", "-v").isEmpty)
        #expect(try JSON(parsing: daemon.output("list", "--json")) == [])
        #expect(try JSON(parsing: daemon.output("list", "--dumpjson")) == [])
    }

    @Test func activeAndDefinedOnesAreToldApart() throws {
        let stopped = try daemon.define("bochs-display", "--auto")
        let running = try daemon.started("serial").uuid
        let header = "UUID                                  PARENT  TYPE    STATE    START\n"
        #expect(try daemon.output("list") == header + "\(running)  cpu     serial  running  -\n")
        #expect(
            try daemon.output("list", "-d")
                == "UUID                                  PARENT  TYPE           STATE    START\n"
                + "\(stopped)  cpu     bochs-display  stopped  auto\n")
        #expect(try daemon.output("list", "-u", running) == daemon.output("list"))
        #expect(try daemon.output("list", "-u", stopped).isEmpty)
        #expect(try daemon.output("list", "-d", stopped) == daemon.output("list", "-d", "-p", "cpu"))
        #expect(try daemon.output("list", "-d", "-p", "gpu9").isEmpty)
    }

    @Test func verboseAddsWhatEachHas() throws {
        let vgpu = try daemon.started("serial", "--attribute", "weight=50", "--attribute", "line=none", "--owner", "7")
        let lines = try daemon.output("list", "-v").split(separator: "\n").map(String.init)
        #expect(
            lines.dropFirst(2) == [
                "  @0 line=none", "  @1 weight=50", "  socket \(try #require(vgpu.socket))",
                "  process \(try #require(vgpu.pid))", "  owner 7",
            ])
    }

    @Test func asJSONEachNamesWhatProgramsNeed() throws {
        let vgpu = try daemon.started("serial", "--attribute", "line=none")
        let list = try JSON(parsing: daemon.output("list", "--json"))
        #expect(list.array?.count == 1)
        let listed = try #require(list[0])
        #expect(listed["uuid"] == .string(vgpu.uuid) && listed["type"] == "serial" && listed["state"] == "running")
        #expect(listed["pid"]?.int == vgpu.pid.map { Int($0) })
        let socket = try #require(listed["socket"]?.string)
        #expect(try FileManager.default.attributesOfItem(atPath: socket)[.type] as? FileAttributeType == .typeSocket)
        #expect(listed["attributes"] == ["line": "none"] && listed["defined"] == false)
    }

    @Test func dumpjsonIsAsMdevctlHasIt() throws {
        let first = try daemon.define("bochs-display", "--attribute", "vram=8M", "--auto")
        let second = try daemon.define("serial")
        let display: JSON = ["mdev_type": "bochs-display", "start": "auto", "attrs": [["vram": "8M"]]]
        let serial: JSON = ["mdev_type": "serial", "start": "manual", "attrs": []]
        let all = try JSON(parsing: daemon.output("list", "-d", "--dumpjson"))
        #expect(all == [["cpu": [.object(JSON.Object([(first, display)])), .object(JSON.Object([(second, serial)]))]]])
        #expect(try JSON(parsing: daemon.output("list", "-d", "--dumpjson", "-u", second)) == serial)
        try daemon.expectFailure(64, "exclude each other", "list", "--json", "--dumpjson")
    }
}
