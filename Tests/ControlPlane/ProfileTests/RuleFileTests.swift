import Profiles
import Programs
import Testing

/// A file of rules.
@Suite struct RuleFileTests {
    @Test func theColonMayBeYAMLs() throws {
        let text = """
            # What hardware never does on demand.
            - read bar=0 nth=3: value=0xffffffff
            - "message vector=1 : drop"
            - 'write': hold
            """
        let file = try RuleFile(Array(text.utf8), path: "rules.yaml")
        #expect(
            file.lines.map(\.text) == [
                "read bar=0 nth=3 : value=0xffffffff", "message vector=1 : drop", "write : hold",
            ])
        #expect(file.lines[0].error(at: 5, "x").description == "rules.yaml:2:8: x")
        #expect(file.lines[0].error(at: 19, "x").description == "rules.yaml:2:21: x")
    }

    @Test(
        arguments: [
            ("", "rules.yaml: There is no rule in it."), ("# none", "rules.yaml: There is no rule"),
            ("read: ones", "rules.yaml:1:1: This must be a list of rules"),
            ("- read: ones\n  write: drop", "rules.yaml:1:3: This must be one rule"),
            ("- [read]", "rules.yaml:1:3: This must be one rule"),
            ("- read: [ones]", "rules.yaml:1:3: This must be one"),
            ("- {}", "rules.yaml:1:3: This must be one rule"), ("- read: ones\n- read: ones: x", "rules.yaml:2:"),
            ("- !x read", "rules.yaml:1:3: Tags"), ("- a\n---\n- b", "rules.yaml:3:1: A second document"),
        ])
    func aWrongOneIsAnsweredWithItsPlace(text: String, words: String) {
        let error = #expect(throws: ProfileError.self) { try RuleFile(Array(text.utf8), path: "rules.yaml") }
        #expect(error?.description.hasPrefix(words) == true, "\(error?.description ?? "")")
    }

    @Test func aFileThatIsNotThereOrTooLong() throws {
        let scratch = try Scratch()
        #expect(throws: ProfileError.self) { try RuleFile(readingFile: scratch.path("none")) }
        let long = [UInt8](repeating: UInt8(ascii: "#"), count: 65 << 10)
        #expect(throws: ProfileError.self) { try RuleFile(long, path: "long") }
    }
}
