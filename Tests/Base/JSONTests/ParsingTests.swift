import JSON
import Testing
import SeededRandom

@Suite struct ParsingTests {
    @Test(
        arguments: [
            ("null", nil), (" true ", true), ("false", false), ("0", 0), ("-0", 0), ("-12", -12), ("1.0", 1.0),
            ("1e2", 100.0),
            ("-1.5E-1", -0.15), ("\"\"", ""), ("[]", []), ("{}", [:]), ("[1,[2,{\"a\":[]}]]", [1, [2, ["a": []]]]),
            ("\t\r\n [ 1 , 2 ] ", [1, 2]), ("{\"a\":1,\"b\":null}", ["a": 1, "b": nil]),
            ("18446744073709551615", 18_446_744_073_709_551_615), ("-9223372036854775808", -9_223_372_036_854_775_808),
            ("1000000000000000000000000000000000000000", 1e39), ("1e-400", 0.0),
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0041\u00e9\uD834\udd1e\u0000""#, "Aé𝄞\0"),
            ("\"é𝄞\u{7F}\u{2028}\"", "é𝄞\u{7F}\u{2028}"), (#"{"":{"":0}}"#, ["": ["": 0]]),
        ] as [(String, JSON)])
    func whatTheGrammarAllowsIsParsed(text: String, value: JSON) throws {
        #expect(try JSON(parsing: text) == value)
    }

    @Test(arguments: [
        ("", 0), (" ", 1), ("nul", 0), ("nulll", 4), ("True", 0), ("+1", 0), ("01", 1), ("-", 1), ("-a", 1), (".5", 0),
        ("1.", 2), ("1.e1", 2), ("1e", 2), ("1e+", 3), ("0x10", 1), ("1_000", 1), ("NaN", 0), ("Infinity", 0),
        ("-Infinity", 1),
        ("1e400", 0), ("-1e400", 0), ("[", 1), ("]", 0), ("[1", 2), ("[1,", 3), ("[1,]", 3), ("[,1]", 1), ("[1 2]", 3),
        ("[1}", 2),
        ("{", 1), ("{\"a\"", 4), ("{\"a\":", 5), ("{\"a\":1", 6), ("{\"a\":1,}", 7), ("{a:1}", 1), ("{'a':1}", 1),
        ("{1:1}", 1),
        ("{\"a\" 1}", 5), ("{\"a\":1 \"b\":2}", 7), ("{\"a\":1,\"a\":2}", 7), ("{\"a\":1,\"\\u0061\":2}", 7),
        ("1 1", 2), ("[]]", 2),
        ("{}//", 2), ("/**/1", 0), ("\"", 0), ("\"a", 0), ("\"\\", 2), ("\"\\x\"", 1), ("\"\\u12\"", 5),
        ("\"\\u12g4\"", 5),
        ("\"\\uD800\"", 1), ("\"\\uD800\\n\"", 1), ("\"\\uD800\\u0041\"", 1), ("\"\\uDC00\"", 1), ("\"a\nb\"", 2),
        ("\"\t\"", 1),
        ("\"\0\"", 1), ("\0", 0), ("\u{FEFF}1", 0), ("[1\u{C}]", 2), ("'a'", 0),
    ])
    func whatTheGrammarForbidsIsRefusedWithItsPlace(text: String, offset: Int) throws {
        let error = #expect(throws: JSONError.self) { try JSON(parsing: text) }
        #expect(error?.place == .byte(offset), "\(error?.description ?? "")")
    }

    @Test(
        arguments: [
            [0x22, 0x80, 0x22], [0x22, 0xC3, 0x22], [0x22, 0xC0, 0xAF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], [0xFF], [0xFE, 0xFF, 0x22, 0x22],
        ] as [[UInt8]])
    func invalidUTF8IsRefused(bytes: [UInt8]) {
        let error = #expect(throws: JSONError.self) { try JSON(parsing: bytes) }
        #expect(error?.place == .byte(0))
    }

    @Test func valuesAreLimitedWhereTheCallerSaysSo() throws {
        let text = Array("[1, {\"a\": null}, \"x\"]".utf8)
        #expect(try JSON(parsing: text, valueLimit: 5) == [1, ["a": nil], "x"])
        let error = #expect(throws: JSONError.self) { try JSON(parsing: text, valueLimit: 4) }
        #expect(error == JSONError("too many values", at: .byte(17)))
    }

    @Test func nestingIsLimited() throws {
        let most = String(repeating: "[", count: JSON.depthLimit) + String(repeating: "]", count: JSON.depthLimit)
        #expect(try JSON(parsing: most).text == most)
        let error = #expect(throws: JSONError.self) {
            try JSON(parsing: String(repeating: "{\"a\":[", count: 100_000))
        }
        #expect(error?.place == .byte(JSON.depthLimit / 2 * 6))
    }

    @Test func errorsAreSentences() throws {
        let error = #expect(throws: JSONError.self) { try JSON(parsing: "[1;2]") }
        #expect(error?.description == "byte 2: expected ',' or ']', found ';'")
    }

    @Test func membersKeepTheirOrder() throws {
        let value = try JSON(parsing: #"{"z":1,"a":2,"m":3}"#)
        #expect(value.object?.names == ["z", "a", "m"])
        #expect(value.text == #"{"z":1,"a":2,"m":3}"#)
        #expect(value == ["a": 2, "m": 3, "z": 1])
    }

    @Test func spansOfAnyKindAreParsed() throws {
        let bytes: [UInt8] = Array("[1]".utf8)
        #expect(try JSON(parsing: bytes.span.bytes) == [1])
        #expect(try JSON(parsing: bytes.span) == [1])
    }

    @Test(arguments: 0..<4 as Range<UInt64>)
    func noBytesBreakTheParser(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let alphabet = Array("{}[]\",:\\u0dD8e+-.1 tfnalse\n\u{e9}".utf8) + [0, 0xFF, 0xC3]
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0..<24, using: &random)).map { _ in alphabet.randomElement(using: &random)!
            }
            // What is accepted must survive being written and parsed again.
            guard let value = try? JSON(parsing: bytes) else { continue }
            #expect(try JSON(parsing: value.text) == value)
        }
    }

    @Test func namesAreComparedByteByByte() throws {
        let object = try JSON(parsing: "{\"\u{e9}\":1,\"e\u{301}\":2}")
        #expect(object["\u{e9}"] == 1 && object["e\u{301}"] == 2)
        #expect(object.object?.names.count == 2)
    }

    /// Whoever compared or hashed it would never end.
    @Test(arguments: ["{\"a@\":1}", "\"a@\"", "[1,\"@\"]"])
    func aStringOfCombiningCharactersIsRefused(pattern: String) throws {
        func text(_ count: Int) -> String {
            pattern.replacing("@", with: String(repeating: "\u{301}\u{323}", count: count))
        }
        _ = try JSON(parsing: text(15))
        for count in [16, 1 << 17] {
            let error = #expect(throws: JSONError.self) { try JSON(parsing: text(count)) }
            #expect(error?.reason == "a string with too many combining characters in a row")
        }
    }

    /// Each letter has its marks.
    @Test func aLongTextMayHaveManyCombiningCharacters() throws {
        let text = String(repeating: "a\u{301}\u{323}", count: 1 << 10)
        #expect(try JSON(parsing: "\"\(text)\"") == .string(text))
    }
}
