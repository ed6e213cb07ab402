import DeviceCatalog
import Foundation
import Mediation
import Profiles
import Programs
import SeededRandom
import Testing

@Suite struct ProfileTests {
    private static let example = Repository.file("Documentation/types.yaml").path

    private func read(_ text: String) throws(ProfileError) -> Profiles {
        try Profiles(Array(text.utf8), path: "types.yaml")
    }

    /// One type, with these lines behind its name.
    private func type(_ lines: String...) throws -> InstanceType {
        let text = ["types:", "- name: mine"] + lines.map { "  \($0)" }
        return try #require(read(text.joined(separator: "\n")).types.first)
    }

    /// Expects a refusal that begins and goes on like this.
    private func expectRefusal(
        _ text: String, _ beginning: String, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do {
            _ = try read(text)
            Issue.record("It was not refused.", sourceLocation: sourceLocation)
        } catch {
            #expect(error.description.hasPrefix(beginning), "\(error)", sourceLocation: sourceLocation)
            for word in words {
                #expect(error.description.contains(word), "\(error)", sourceLocation: sourceLocation)
            }
        }
    }

    /// The options that a vGPU's device is made with.
    private func options(_ type: InstanceType, _ attributes: [Attribute] = []) throws -> [String] {
        let parent = Parent(name: "p", description: "", videoMemory: 1 << 40)
        let catalogue = Catalogue(parents: [parent], types: [type])
        let instance = Instance(id: InstanceID(), parent: "p", type: type.name, attributes: attributes)
        try catalogue.check(instance)
        return try catalogue.device(of: instance).options
    }

    // MARK: What is read

    @Test func theExampleIsRead() throws {
        let profiles = try #require(try Profiles(readingFile: Self.example))
        #expect(
            profiles.parents == [
                Parent(name: "cpu", description: "Pictures drawn by this host's processors", videoMemory: 8 << 30)
            ])
        #expect(profiles.types.map(\.name) == ["desktop-small", "desktop-wide", "console"])
        #expect(
            profiles.types[0]
                == InstanceType(
                    name: "desktop-small", description: "A small desktop", device: "bochs-display",
                    limits: Limits(videoMemory: 16 << 20, weight: 50, frameRate: 30), resolution: "1280x800", heads: 1,
                    options: [Attribute("resolution", "1280x800"), Attribute("edid", "on"), Attribute("refresh", "60")])
        )
        #expect(
            profiles.types[1]
                == InstanceType(
                    name: "desktop-wide", description: "Two monitors", device: "virtio-gpu",
                    limits: Limits(videoMemory: 64 << 20), resolution: "1920x1080", heads: 2,
                    options: [Attribute("resolution", "1920x1080"), Attribute("heads", "2")]))
        #expect(profiles.types[2].device == "serial" && profiles.types[2].options.isEmpty)
    }

    @Test func everySettingReachesTheDevice() throws {
        let profiles = try #require(try Profiles(readingFile: Self.example))
        #expect(
            try options(profiles.types[0]) == [
                "edid=on", "frame-rate=30", "refresh=60", "resolution=1280x800", "vram=\(16 << 20)",
            ])
        #expect(try options(profiles.types[1]) == ["heads=2", "resolution=1920x1080", "vram=\(64 << 20)"])
        #expect(try options(profiles.types[2]).isEmpty)
        // An instance's own go before the type's.
        let own = [Attribute("vram", "32M"), Attribute("frame-rate", "0"), Attribute("edid", "off")]
        #expect(
            try options(profiles.types[0], own) == [
                "edid=off", "refresh=60", "resolution=1280x800", "vram=\(32 << 20)",
            ])
    }

    @Test func whatIsNotSaidIsAsTheDeviceHasIt() throws {
        var standard = try #require(Catalogue.builtInTypes().first { $0.name == "bochs-display" })
        standard.name = "mine"
        #expect(try type("device: bochs-display") == standard)
        #expect(try type("device: bochs-display", "heads: 1", "options:") == standard)
        #expect(try type("device: serial", "heads: 0").heads == 0)
    }

    @Test func sizesTakeAFactor() throws {
        #expect(try type("device: bochs-display", "vram: 2048K").limits.videoMemory == 2 << 20)
        #expect(try type("device: bochs-display", "vram: '4194304'").limits.videoMemory == 4 << 20)
        #expect(try read("parents: [{name: a, video-memory: 0}]").parents.first?.videoMemory == 0)
    }

    @Test(arguments: ["", "# Nothing yet.\n", "---\n...\n", "parents:\ntypes:\n", "types: []", "{}", "\u{feff}types:"])
    func whatSaysNothingIsEmpty(text: String) throws {
        #expect(try read(text) == Profiles())
    }

    @Test func wordsStayAsTheyAreWritten() throws {
        let type = try type("device: serial", "description: 'No: \"quotes\" # here'", "options: {line: off}")
        #expect(type.description == "No: \"quotes\" # here" && type.options == [Attribute("line", "off")])
    }

    // MARK: What is refused

    @Test func aFileThatIsAbsentIsNoError() throws {
        #expect(try Profiles(readingFile: "/nowhere/types.yaml") == nil)
        let error = #expect(throws: ProfileError.self) { try Profiles(readingFile: "/tmp") }
        #expect(error?.description.hasPrefix("/tmp: It can't be read") == true)
    }

    @Test(arguments: [
        ("types:\n- name: a\n  device: bochs-display\n  vram: 12Q", "4:9: 'vram' is '12Q' but must be a number"),
        ("types:\n- name: a\n  device: bochs-display\n  vram: 9999999999G", "4:9: 'vram' is '9999999999G'"),
        (
            "types:\n- name: a\n  device: bochs-display\n  vram: 1",
            "4:9: Option 'vram' is '1' but must be a number from"
        ),
        ("types:\n- name: a\n  device: serial\n  vram: 16M", "4:9: 'serial' has no option 'vram'. Its options: line."),
        (
            "types:\n- name: a\n  device: serial\n  weight: 0",
            "4:11: 'weight' is '0' but must be a number from 1 to 10000"
        ),
        ("types:\n- name: a\n  device: serial\n  frame-rate: 5", "4:15: 'serial' has no option 'frame-rate'"),
        ("types:\n- name: a\n  device: bochs-display\n  frame-rate: -1", "4:15: 'frame-rate' is '-1'"),
        ("types:\n- name: a\n  device: serial\n  resolution: 800x600", "4:15: 'serial' has no option 'resolution'"),
        ("types:\n- name: a\n  device: virtio-gpu\n  resolution: 800", "4:15: Option 'resolution' is '800'"),
        (
            "types:\n- name: a\n  device: virtio-gpu\n  resolution: 9x9",
            "4:15: Option 'resolution' is '9x9' but must be"
        ),
        ("types:\n- name: a\n  device: virtio-gpu\n  heads: 99", "4:10: Option 'heads' is '99' but must be"),
        (
            "types:\n- name: a\n  device: bochs-display\n  heads: 2",
            "4:10: 'heads' is '2' but a bochs-display always has 1"
        ),
        ("types:\n- name: a\n  device: serial\n  heads: many", "4:10: 'heads' is 'many' but must be a number"),
        ("types:\n- name: a\n  device: voodoo", "3:11: 'device' is 'voodoo' but must be one of: bochs-display, serial"),
        ("types:\n- name: a", "2:3: 'device' is missing here"),
        ("types:\n- device: serial", "2:3: 'name' is missing here"),
        ("types:\n- name: a\n  device: serial\n  colour: red", "4:3: 'colour' is no key of a type. The keys: name"),
        ("types:\n- name: a\n  device: [serial]", "3:11: 'device' must be one word"),
        (
            "types:\n- name: a\n  device: serial\n  description: |\n    a\n    b",
            "4:16: 'description' holds the end of a line"
        ),
        ("types:\n- name: a\n  device: serial\n  options: line", "4:12: 'options' must be lines of 'NAME: VALUE'"),
        ("types:\n- name: a\n  device: serial\n  options: {tone: 5}", "4:19: 'serial' has no option 'tone'"),
        ("types:\n- name: a\n  device: serial\n  options: {line: \"a\\0\"}", "4:19: 'line' holds the end of a line"),
        (
            "types:\n- name: a\n  device: bochs-display\n  options: {edid: yes}",
            "4:19: Option 'edid' is 'yes' but must be 'on'"
        ),
        (
            "types:\n- name: a\n  device: bochs-display\n  options: {vram: 1M}",
            "4:13: 'vram' is a key of the type itself"
        ),
        ("types: serial", "1:8: 'types' must be a list"),
        ("types:\n- serial", "2:3: This must be a type, as lines of 'KEY: VALUE'. The keys: name, description, device"),
        ("kinds: []", "1:1: 'kinds' is no key of a file of types and parents. The keys: parents, types."),
        ("- name: a", "1:1: This must be a file of types and parents"),
        ("parents:\n- name: a", "2:3: 'video-memory' is missing here: a parent needs it"),
        (
            "parents:\n- name: a\n  video-memory: lots",
            "3:17: 'video-memory' is 'lots' but must be a number of at least 0"
        ),
        ("parents:\n- video-memory: 1G", "2:3: 'name' is missing here"),
    ])
    func whatMakesNoSenseIsRefusedWithItsPlace(text: String, words: String) {
        expectRefusal(text, "types.yaml:\(words)")
    }

    @Test func namesFitIntoPathsAndAddresses() throws {
        for name in ["a", "A.b_c-9", "4k", String(repeating: "x", count: 64)] {
            #expect(try read("parents: [{name: '\(name)', video-memory: 1G}]").parents.first?.name == name)
        }
        for name in ["", "-a", ".", "..", "a/b", "a b", "ä", "a\\", "%41", String(repeating: "x", count: 65)] {
            expectRefusal(
                "parents: [{name: '\(name)', video-memory: 1G}]", "types.yaml:1:18: 'name' is '\(name)' but must begin")
        }
    }

    @Test func aNameIsTakenOnce() throws {
        expectRefusal(
            "types:\n- {name: a, device: serial}\n- {name: a, device: serial}", "types.yaml:3:10: 'name' is 'a'",
            "line 2")
        expectRefusal(
            "parents:\n- {name: a, video-memory: 1}\n- {name: a, video-memory: 1}", "types.yaml:3:10: 'name' is 'a'",
            "line 2")
        for type in DeviceCatalog.types {
            expectRefusal(
                "types: [{name: \(type.name), device: serial}]", "types.yaml:1:16: 'name' is '\(type.name)'",
                "always there", "choose another name")
        }
        // A parent and a type are never taken for each other.
        #expect(
            try read("parents: [{name: a, video-memory: 1}]\ntypes: [{name: a, device: serial}]").types.count == 1)
    }

    // MARK: YAML

    @Test(arguments: [
        ("types: *all", "1:8: This stands for nothing: found undefined alias"),
        ("types: &all [*all]", "1:14: This stands for nothing"),
        ("types: !!map []", "1:8: Tags such as 'tag:yaml.org,2002:map' aren't read"),
        ("types: !x {}", "1:8: Tags such as '!x' aren't read"),
        ("types: !!int x", "1:8: Tags"),
        ("!x types: []", "1:1: Tags"),
        ("types:\n- {name: !!binary YQ==, device: serial}", "2:10: Tags"),
        ("<<: {}", "1:1: '<<' is no key"),
        ("types: []\nparents: []\ntypes: []", "3:1: 'types' stands here twice, first in line 1"),
        ("types: []\n---\ntypes: []", "3:1: A second document begins here"),
        ("types:\n- {name: a, device: serial, options: {line: on, line: off}}", "2:49: 'line' stands here twice"),
        ("[types]: []", "1:1: A key must be a word"),
        ("? {}\n: []", "1:3: A key must be a word"),
        ("types: [", "2:1: This is not YAML"),
        ("types:\n- name: a\n device: serial", "3:2: This is not YAML"),
        ("types:\n\t- a", "2:1: This is not YAML"),
        ("types: 'x", "2:1: This is not YAML"),
        ("types:\n- @x", "2:3: This is not YAML"),
        ("types: \u{1}", "1:8: This is no text: control characters"),
        ("# \u{e9}\u{301}\r\nt\0y\0", "2:2: This is no text: control characters"),
    ])
    func yamlThatIsNotReadIsRefusedWithItsPlace(text: String, words: String) {
        expectRefusal(text.hasSuffix("\n") ? text : text + "\n", "types.yaml:\(words)")
    }

    @Test func bytesThatAreNoTextAreRefused() throws {
        let error = #expect(throws: ProfileError.self) {
            try Profiles(Array("types:\n- ä".utf8) + [0xff], path: "types.yaml")
        }
        #expect(error?.place == Place(line: 2, column: 4))
        #expect(error?.reason.hasPrefix("This is no text in UTF-8: ") == true)
        let utf16: [UInt8] = [0xff, 0xfe] + "types:".utf8.flatMap { [$0, 0] as [UInt8] }
        let place = #expect(throws: ProfileError.self) { try Profiles(utf16, path: "types.yaml") }?.place
        #expect(place == Place(line: 1, column: 1))
    }

    @Test func anAliasStandsForWhatHasItsAnchor() throws {
        let profiles = try read(
            """
            types:
            - {name: a, device: &device serial, options: &options {line: off}}
            - {name: b, device: *device, options: *options}
            """)
        #expect(profiles.types.map(\.device) == ["serial", "serial"])
        #expect(profiles.types.map(\.options) == Array(repeating: [Attribute("line", "off")], count: 2))
        // The place is that of what is wrong.
        expectRefusal(
            "types:\n- {name: a, device: serial, description: &text \"\\0\"}\n- {name: b, device: *text}",
            "types.yaml:2:42: 'description' holds the end of a line")
    }

    @Test func aShortTextStaysSmall() {
        let laughs = (1...30).map { "&a\($0) [*a\($0 - 1), *a\($0 - 1), *a\($0 - 1)]" }.joined(separator: ", ")
        expectRefusal("types: [&a0 {name: a, device: serial}, \(laughs)]", "types.yaml:1:40: This must be a type")
        expectRefusal("? [&a0 {}, \(laughs)]\n: []", "types.yaml:1:3: A key must be a word")
        expectRefusal(
            "types:\n- &a\n\(String(repeating: "- &a\n - *a\n", count: 5000))", "types.yaml:2:3: This must be a type")
    }

    @Test func aTextHasAnEnd() {
        expectRefusal(String(repeating: "#", count: 64 << 10 + 1), "types.yaml: It is longer than 64 KiB")
        expectRefusal("types: [\(String(repeating: "a,", count: 20_000))]", "types.yaml:1:9: This must be a type")
        expectRefusal(String(repeating: "a: ", count: 20_000), "types.yaml:1:5: This is not YAML")
    }

    /// Each of these would need more stack than there is.
    @Test(arguments: ["[", "{", "[a: ", "{? ", "- ", "? ", "-\t"])
    func aTextIsNotDeep(level: String) {
        expectRefusal(String(repeating: level, count: 16_000), "types.yaml: It has too many brackets, or is indented")
    }

    @Test(arguments: [("[", "]"), ("[a: ", "]"), ("{? ", "}"), ("- ", ""), ("? ", "")])
    func whatIsNotTooDeepIsLookedAt(level: String, end: String) {
        let text = String(repeating: level, count: 240) + "a" + String(repeating: end, count: 240)
        expectRefusal(text, "types.yaml:1:")
        expectRefusal("types:\n- name: \(text)", "types.yaml:2:")
    }

    @Test func whateverIsWrittenIsReadOrRefused() throws {
        let example = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Self.example)))
        let pieces = [
            ": ", "- ", "\n", "  ", "[", "]", "{", "}", "&a ", "*a", "!!x ", "|", ">", "'", "\"", "#", "\\", "---\n",
            "%",
        ]
        .map { Array($0.utf8) }
        var random = SplitMix(seed: 5)
        var count = (read: 0, refused: 0)
        for _ in 0..<20_000 {
            var text = example
            for _ in 0..<Int.random(in: 1...4, using: &random) where !text.isEmpty {
                let place = Int.random(in: 0..<text.count, using: &random)
                let end = min(text.count, place + Int.random(in: 1...40, using: &random))
                switch Int.random(in: 0..<6, using: &random) {
                case 0: text[place] = UInt8.random(in: 0...255, using: &random)
                case 1: text[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 2: text.removeSubrange(place..<end)
                case 3: text.insert(contentsOf: text[place..<end], at: Int.random(in: 0..<text.count, using: &random))
                case 4: text.insert(contentsOf: pieces[Int.random(in: 0..<pieces.count, using: &random)], at: place)
                default: text.removeLast(text.count - place)
                }
            }
            do throws(ProfileError) {
                _ = try Profiles(text, path: "types.yaml")
                count.read += 1
            } catch {
                #expect(error.place.map { $0.line >= 1 && $0.column >= 1 } ?? false && !error.reason.isEmpty)
                count.refused += 1
            }
        }
        // Both happen often, so that neither way stays untried.
        #expect(count.read > 1000 && count.refused > 1000, "\(count)")
    }
}
