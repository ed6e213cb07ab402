import JSON
import Testing

@Suite struct CodableTests {
    struct Device: Codable, Equatable {
        var name: String
        var registers: [UInt64]
        var small: UInt8
        var signed: Int16
        var ratio: Double
        var single: Float
        var on: Bool
        var wide: UInt128
        var optional: Int?
        var mode: Mode
        var state: State
        var nested: [String: [Part]]
        var keyed: [Mode: Int]

        enum Mode: String, Codable { case text, graphic }
        enum State: Codable, Equatable {
            case off
            case waiting(Int, for: String)
        }
        struct Part: Codable, Equatable {
            var list: [[Int8?]]
        }
    }

    let device = Device(
        name: "a\n\"b\"", registers: [0, .max, 1 << 63], small: 255, signed: -32768, ratio: 0.1, single: 0.1, on: true,
        wide: 1 << 100, optional: nil, mode: .graphic, state: .waiting(3, for: "x"),
        nested: ["p": [.init(list: [[1, nil, -128], []])], "q": []], keyed: [.text: 1])

    @Test func aValueSurvivesBothWays() throws {
        let json = try JSON(encoding: device)
        #expect(try json.decode(Device.self) == device)
        #expect(try JSON(parsing: json.text).decode(Device.self) == device)
    }

    @Test func theJSONIsTheExpectedOne() throws {
        let json = try JSON(encoding: device)
        #expect(json["registers"] == [0, .init(UInt64.max), .init(UInt64(1) << 63)])
        #expect(json["mode"] == "graphic")
        #expect(json["state"] == ["waiting": ["_0": 3, "for": "x"]])
        #expect(json["nested"]?["p"] == [["list": [[1, nil, -128], []]]])
        #expect(json["optional"] == nil)
        #expect(json.object?.names.first == "name")
    }

    @Test func scalarsAtTheRootAreValues() throws {
        #expect(try JSON(encoding: UInt64.max) == .init(UInt64.max))
        #expect(try JSON(encoding: "x") == "x")
        #expect(try JSON(encoding: Int?.none) == nil)
        #expect(try JSON(encoding: [UInt8]()) == [])
        #expect(try JSON(encoding: true) == true)
        #expect(try JSON.null.decode(Int?.self) == nil)
        #expect(try JSON.integer(5).decode(Int?.self) == 5)
        #expect(try JSON.integer(5).decode(Double.self) == 5)
        #expect(try JSON.number(5).decode(Int8.self) == 5)
    }

    @Test(arguments: [
        ("{}", "the member 'list' is missing"),
        ("[]", "expected an object, found an array"),
        (#"{"list":{}}"#, "list: expected an array, found an object"),
        (#"{"list":[[1],[2,128]]}"#, "list[1][1]: expected a whole number from -128 to 127, found 128"),
        (#"{"list":[[1.5]]}"#, "list[0][0]: expected a whole number from -128 to 127, found 1.5"),
        (#"{"list":[["1"]]}"#, "list[0][0]: expected a whole number, found a string"),
        (#"{"list":[null]}"#, "list[0]: expected an array, found null"),
    ])
    func whatDoesNotFitIsNamedWithItsPath(text: String, message: String) throws {
        let json = try JSON(parsing: text)
        let error = #expect(throws: JSONError.self) { try json.decode(Device.Part.self) }
        #expect(error?.description == message)
    }

    @Test func unknownCasesAreRefused() throws {
        #expect(throws: JSONError.self) { try JSON.string("none").decode(Device.Mode.self) }
        #expect(throws: JSONError.self) { try JSON.object(["none": [:]]).decode(Device.State.self) }
    }

    @Test func numbersThatDoNotFitAreRefused() throws {
        #expect(throws: JSONError.self) { try JSON.integer(-1).decode(UInt64.self) }
        #expect(throws: JSONError.self) { try JSON.integer(1 << 64).decode(UInt64.self) }
        #expect(throws: JSONError.self) { try JSON.number(1e300).decode(Float.self) }
        #expect(throws: JSONError.self) { try JSON.number(1e300).decode(Int.self) }
        #expect(throws: JSONError.self) { try JSON.bool(true).decode(Int.self) }
        #expect(throws: JSONError.self) { try JSON.integer(1).decode(Bool.self) }
        #expect(throws: JSONError.self) { try JSON.integer(1).decode(String.self) }
        #expect(throws: JSONError.self) { try JSON.string("1").decode(Double.self) }
    }

    @Test func whatJSONCannotSayIsRefused() throws {
        let error = #expect(throws: JSONError.self) { try JSON(encoding: ["a": [1, Double.nan]]) }
        #expect(error?.description == "a[1]: JSON has no number for nan")
        #expect(throws: JSONError.self) { try JSON(encoding: UInt128.max) }
        #expect(throws: JSONError.self) { try JSON(encoding: ["a": Float.infinity]) }
    }

    @Test func anErrorOfTheTypeItselfIsPassedOn() throws {
        struct Picky: Codable {
            struct Refusal: Error, CustomStringConvertible { let description = "not today" }
            init() {}
            init(from decoder: any Decoder) throws { throw Refusal() }
            func encode(to encoder: any Encoder) throws { throw Refusal() }
        }
        let decoding = #expect(throws: JSONError.self) { try JSON.null.decode(Picky.self) }
        #expect(decoding?.reason == "not today")
        let encoding = #expect(throws: JSONError.self) { try JSON(encoding: Picky()) }
        #expect(encoding?.reason == "not today")
    }

    @Test func containersMayBeNestedByHand() throws {
        let json = try JSON(encoding: Nested(a: 1, b: 2, base: "x"))
        #expect(json == ["list": [["a": 1], [2]], "super": "x"])
        #expect(try json.decode(Nested.self) == Nested(a: 1, b: 2, base: "x"))
    }

    @Test func aTypeWithNothingToWriteIsAnEmptyObject() throws {
        struct Nothing: Codable, Equatable {}
        #expect(try JSON(encoding: Nothing()) == [:])
        #expect(try JSON(encoding: [Nothing()]) == [[:]])
        #expect(try JSON.object([:]).decode(Nothing.self) == Nothing())
    }
}

/// Uses the parts of Codable that synthesized conformances don't.
private struct Nested: Codable, Equatable {
    var a: Int
    var b: Int
    var base: String

    enum CodingKeys: CodingKey { case list, a }

    init(a: Int, b: Int, base: String) {
        (self.a, self.b, self.base) = (a, b, base)
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        var list = try container.nestedUnkeyedContainer(forKey: .list)
        a = try list.nestedContainer(keyedBy: CodingKeys.self).decode(Int.self, forKey: .a)
        var inner = try list.nestedUnkeyedContainer()
        b = try inner.decode(Int.self)
        base = try String(from: container.superDecoder())
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        var list = container.nestedUnkeyedContainer(forKey: .list)
        var first = list.nestedContainer(keyedBy: CodingKeys.self)
        var second = list.nestedUnkeyedContainer()
        try second.encode(b)
        try first.encode(a, forKey: .a)
        try base.encode(to: container.superEncoder())
    }
}
