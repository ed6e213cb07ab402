import JSON
import Mediation
import Testing

@Suite struct ModelTests {
    @Test func aUUIDIsWrittenInLowerCase() throws {
        let id = try #require(InstanceID("83B8F4F2-509F-382F-3C1E-E6BFE0FA1001"))
        #expect("\(id)" == "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001")
        #expect(InstanceID("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001") == id)
        #expect(InstanceID("") == nil && InstanceID("../../etc") == nil && InstanceID("\(id) ") == nil)
        #expect(try JSON(encoding: id) == .string("\(id)"))
        #expect(throws: JSONError.self) { () throws(JSONError) in try JSON.string("x").decode() as InstanceID }
    }

    @Test func mdevctlsDefinitionsAreReadAndWritten() throws {
        let text = """
            {"mdev_type": "bochs-display", "start": "auto", "attrs": [{"vram": "32M"}, {"edid": "off"}]}
            """
        let json = try JSON(parsing: Array(text.utf8))
        let instance = try Instance(mdevctl: json, id: InstanceID(), parent: "cpu")
        #expect(instance.type == "bochs-display" && instance.isAutostarted)
        #expect(instance.attributes == [Attribute("vram", "32M"), Attribute("edid", "off")])
        #expect(instance.mdevctl == json)
        let short = try Instance(mdevctl: ["start": "manual"], id: InstanceID(), parent: "cpu", type: "serial")
        #expect(short.type == "serial" && !short.isAutostarted)
    }

    @Test(arguments: [
        "[]", "{}", #"{"mdev_type": 5}"#, #"{"mdev_type": "serial", "start": "soon"}"#,
        #"{"mdev_type": "serial", "attrs": {}}"#, #"{"mdev_type": "serial", "attrs": [{"a": 1}]}"#,
        #"{"mdev_type": "serial", "attrs": [{"a": "1", "b": "2"}]}"#, #"{"mdev_type": "serial", "colour": "red"}"#,
    ])
    func whatIsNoDefinitionOfMdevctlsIsRefused(text: String) throws {
        let json = try JSON(parsing: Array(text.utf8))
        #expect(throws: MediationError.self) { try Instance(mdevctl: json, id: InstanceID(), parent: "cpu") }
    }

    @Test func foldersFollowSystemdAndXDG() {
        let root = Directories(environment: [:], isRoot: true)
        #expect(
            root?.runtime == "/run/mediated" && root?.state == "/var/lib/mediated" && root?.logs == "/var/log/mediated")
        let unit = Directories(environment: ["RUNTIME_DIRECTORY": "/run/x", "STATE_DIRECTORY": "/s"], isRoot: true)
        #expect(unit?.runtime == "/run/x" && unit?.state == "/s")
        let user = Directories(environment: ["HOME": "/home/a", "XDG_RUNTIME_DIR": "/run/user/5"], isRoot: false)
        #expect(user?.runtime == "/run/user/5/mediated" && user?.state == "/home/a/.local/state/mediated")
        #expect(user?.configuration == "/home/a/.config/mediated")
        #expect(Directories(environment: ["HOME": "/home/a"], isRoot: false) == nil)
        let one = Directories(environment: ["MEDIATED_ROOT": "/r", "HOME": "/h"], isRoot: false)
        #expect(one == Directories(root: "/r"))
    }

    @Test func everyVendorDriverComesWithAType() throws {
        let types = try Catalogue.builtInTypes()
        let display = try #require(types.first { $0.name == "bochs-display" })
        #expect(display.limits.videoMemory == 16 << 20 && display.resolution == "1024x768" && display.heads == 1)
        let serial = try #require(types.first { $0.name == "serial" })
        #expect(serial.limits.videoMemory == 0 && serial.heads == 0 && serial.resolution == nil)
    }
}
