import JSON
import Testing
import SeededRandom

@Suite struct TextTests {
    @Test func compactTextIsOneLine() {
        let value: JSON = ["a": [1, 2.5, "x\ny"], "b": [:], "c": [], "d": nil, "e": true]
        #expect(value.text == #"{"a":[1,2.5,"x\ny"],"b":{},"c":[],"d":null,"e":true}"#)
    }

    @Test func prettyTextHasALineForEachMember() {
        let value: JSON = ["a": [1, ["b": 2]], "c": [], "d": [:]]
        #expect(
            value.prettyText == """
                {
                  "a": [
                    1,
                    {
                      "b": 2
                    }
                  ],
                  "c": [],
                  "d": {}
                }
                """)
    }

    @Test func whatMustBeEscapedIsEscaped() {
        #expect(
            JSON.string("\"\\/\u{8}\u{1F}\r\t\0é𝄞").text == "\"\\\"\\\\/\\u0008\\u001f\\r\\t\\u0000é𝄞\"")
    }

    /// DEL, C1, a right-to-left override, a line separator, and a tag outside the basic plane.
    @Test func whatIsNotPrintableIsEscaped() throws {
        let value: JSON = ["\u{7F}\u{9B}": "\u{202E}\u{2028}\u{E0001}"]
        #expect(value.text == #"{"\u007f\u009b":"\u202e\u2028\udb40\udc01"}"#)
        #expect(value.prettyText.unicodeScalars.allSatisfy { $0 == "\n" || (" "..."~").contains($0) })
        #expect(try JSON(parsing: value.text) == value)
    }

    @Test(
        arguments: [
            (JSON(UInt64.max), "18446744073709551615"), (JSON(Int64.min), "-9223372036854775808"), (1.0, "1.0"),
            (0.1, "0.1"),
            (.number(.leastNonzeroMagnitude), "5e-324"), (.number(-.infinity), "null"), (.number(.nan), "null"),
            (JSON(UInt128.max), "3.402823669209385e+38"),
        ] as [(JSON, String)])
    func numbersAreWrittenExactly(value: JSON, text: String) {
        #expect(value.text == text)
    }

    @Test(arguments: 0..<4 as Range<UInt64>)
    func whatIsWrittenParsesToTheSameValue(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for _ in 0..<2_000 {
            let value = JSON.random(depth: 5, using: &random)
            #expect(try JSON(parsing: value.text) == value)
            #expect(try JSON(parsing: value.prettyText) == value)
        }
    }
}

@Suite struct AccessTests {
    let value: JSON = ["n": 3, "s": "x", "a": [true, 1.5], "big": .init(UInt64.max), "minus": -1]

    @Test func accessorsGiveWhatIsThere() {
        #expect(value["n"]?.int == 3)
        #expect(value["n"]?.double == 3)
        #expect(value["s"]?.string == "x")
        #expect(value["a"]?[0]?.bool == true)
        #expect(value["a"]?[1]?.double == 1.5)
        #expect(value["a"]?.array?.count == 2)
        #expect(value["big"]?.uint64 == .max)
        #expect(value.object?.count == 5)
    }

    @Test func accessorsGiveNilForAnythingElse() {
        #expect(value["none"] == nil)
        #expect(value[0] == nil)
        #expect(value["a"]?[2] == nil)
        #expect(value["a"]?[-1] == nil)
        #expect(value["a"]?["n"] == nil)
        #expect(value["s"]?.int == nil)
        #expect(value["n"]?.string == nil)
        #expect(value["n"]?.bool == nil)
        #expect(value["s"]?.double == nil)
        #expect(value["s"]?.array == nil)
        #expect(value["s"]?.object == nil)
        #expect(value["big"]?.int == nil)
        #expect(value["minus"]?.uint64 == nil)
    }

    @Test func settingAMemberReplacesAddsOrRemovesIt() {
        var object: JSON.Object = ["a": 1, "b": 2, "a": 3]
        #expect(object.map(\.name) == ["a", "b"])
        #expect(object["a"] == 3)
        object["c"] = 4
        object["a"] = nil
        object["none"] = nil
        #expect(object.map(\.name) == ["b", "c"])
        #expect(object != ["b": 2])
    }

    @Test func integersAndOtherNumbersDiffer() {
        #expect(JSON.integer(1) != .number(1))
    }
}

extension JSON {
    static func random(depth: Int, using random: inout SplitMix) -> JSON {
        func count() -> Range<Int> { 0..<Int.random(in: 0..<5, using: &random) }
        func string() -> String {
            String(
                String.UnicodeScalarView(
                    count().compactMap { _ in Unicode.Scalar(UInt32.random(in: 0..<0x11_0000, using: &random)) }))
        }
        switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
        case 0: return nil
        case 1: return .bool(.random(using: &random))
        case 2: return .integer(.random(in: .min ... .max, using: &random))
        case 3: return .integer(.random(in: -3...3, using: &random))
        case 4:
            let number = Double(bitPattern: random.next())
            return .number(number.isFinite ? number : 0)
        case 5: return .string(string())
        case 6: return .array(count().map { _ in .random(depth: depth - 1, using: &random) })
        default:
            return .object(Object(count().map { _ in (string(), JSON.random(depth: depth - 1, using: &random)) }))
        }
    }
}
