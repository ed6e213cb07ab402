import Testing
import Text

@Suite struct PrintableTests {
    @Test func whatATerminalShowsStaysAsItIs() {
        let text = "Grüße, мир, 日本語, e\u{301}, ∞ — \u{A0}~"
        #expect(text.printable == text)
    }

    @Test(arguments: [
        ("\u{1B}[2J", #"\u{1b}[2J"#), ("a\r\n\tb", #"a\u{d}\u{a}\u{9}b"#), ("\u{7F}\u{9B}", #"\u{7f}\u{9b}"#),
        ("\u{202E}x\u{2066}", #"\u{202e}x\u{2066}"#), ("\u{2028}\u{2029}", #"\u{2028}\u{2029}"#),
        ("\u{200B}\u{FEFF}\u{AD}", #"\u{200b}\u{feff}\u{ad}"#), ("\u{E000}\u{378}", #"\u{e000}\u{378}"#),
    ])
    func whatDoesMoreIsEscaped(text: String, printable: String) {
        #expect(text.printable == printable)
        #expect(text.printable.printable == printable)
    }

    @Test func nothingAndAnEmptyLineStay() {
        #expect("".printable == "")
        #expect(" ".printable == " ")
    }
}
