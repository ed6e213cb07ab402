import Device
import JSON
import Linux
import PCI
import Testing

/// A saved state tells the versions of its forms: older ones are read, newer ones refused.
@Suite struct StateVersionTests {
    let lamp: Lamp
    let function: Function

    init() throws {
        let host = Host(loop: try EventLoop())
        lamp = try Lamp(options: DeviceOptions(for: Lamp.type), host: host)
        function = try Function(lamp, host: host)
    }

    /// The document of the state now.
    private func document() throws -> JSON.Object {
        let reader = try StateReader(function)
        var bytes = [UInt8](repeating: 0, count: reader.size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        #expect(reader.read(into: &raw) == bytes.count)
        let count = bytes[12..<16].reversed().reduce(0) { $0 << 8 | Int($1) }
        return try #require(JSON(parsing: Array(bytes[16..<16 + count])).object)
    }

    /// Loads the state now, with some of its document changed and without memory.
    private func load(_ change: (inout JSON.Object) -> Void) throws {
        var document = try document()
        change(&document)
        let text = Array(JSON.object(document).text.utf8)
        let count = (0..<4).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        let writer = StateWriter(function)
        let end = [UInt8](repeating: 0, count: 24)
        try writer.write((Array("MEDIATED".utf8) + [1, 0, 0, 0] + count + text + end).span.bytes)
        try writer.finish()
    }

    @Test func aStateTellsTheVersionsOfItsParts() throws {
        let document = try document()
        #expect(document["versions"] == ["function": 1, "device": 2])
        #expect(document["device"] == ["brightness": 7])
    }

    @Test func aStateOfThisVersionIsTakenAsItIs() throws {
        try load { $0["device"] = ["brightness": 99] }
        #expect(lamp.state.brightness == 99)
    }

    @Test func anOlderFormIsReadByItsReader() throws {
        try load {
            $0["versions"] = ["function": 1, "device": 1]
            $0["device"] = ["isOn": true]
        }
        #expect(lamp.state.brightness == 255)
    }

    @Test func aStateWithoutVersionsHasTheFirst() throws {
        try load {
            $0["versions"] = nil
            $0["device"] = ["isOn": true]
        }
        #expect(lamp.state.brightness == 255)
    }

    @Test(
        arguments: [
            ("device", ["function": 1, "device": 3], "'lamp' has version 3,", "up to version 2."),
            ("function", ["function": 4, "device": 2], "the PCI function has version 4,", "up to version 1."),
        ] as [(String, JSON, String, String)])
    func aNewerFormIsRefusedBeforeAnythingChanges(
        part: String, versions: JSON, told: String, limit: String
    ) throws {
        lamp.glass.publish(0x5a, at: 8)
        let error = #expect(throws: StateError.self) {
            try load {
                $0["versions"] = versions
                // It has changed so much that it can't be decoded, which must not be what the user is told.
                $0[part] = ["unheardOf": [1, 2, 3]]
            }
        }
        let text = try #require(error?.description)
        #expect(text.contains(told) && text.contains(limit), "\(text)")
        #expect(text.contains("made by a newer Mediated") && text.contains("Load it with the newer one"), "\(text)")
        #expect(lamp.state.brightness == 7)
        #expect(lamp.glass.number(at: 8) == UInt64(0x5a))
    }

    @Test(arguments: [0, -1, Int.min]) func aVersionThatNeverWasIsRefused(version: Int) throws {
        let error = #expect(throws: StateError.self) {
            try load { $0["versions"] = ["function": 1, "device": JSON(version)] }
        }
        #expect(error?.description.contains("version \(version); it must be from 1 to 2") == true, "\(error as Any)")
    }

    @Test(arguments: [["function": 1], ["function": "1", "device": 2], [1, 2]] as [JSON])
    func whatIsNoVersionsIsRefused(versions: JSON) throws {
        #expect(throws: StateError.self) { try load { $0["versions"] = versions } }
        #expect(lamp.state.brightness == 7)
    }

    @Test func whatTheReaderOfAnOlderFormRefusesIsRefused() throws {
        let error = #expect(throws: StateError.self) {
            try load {
                $0["versions"] = nil
                $0["device"] = ["isOn": 3]
            }
        }
        #expect(error?.description == "The lamp is neither on nor off.")
        #expect(lamp.state.brightness == 7)
    }

    @Test func anOlderFormWithoutAReaderIsRefused() {
        enum Forgetful: Stateful { static let stateVersion = 3 }
        let error = #expect(throws: StateError.self) { try Forgetful.upToDate([:], from: 2, of: "this") }
        #expect(error?.description.contains("version 2, which is not read any more: it must be 3") == true)
    }
}

/// Can be dimmed, in the second version; in the first one it could only be switched.
final class Lamp: Device {
    static let type = DeviceType(name: "lamp", summary: "A lamp")
    static let stateVersion = 2

    let identity = PCIIdentity(vendor: 0x1234, device: 0x1a3b, class: .unclassified)
    let bars: [BAR] = [.memory(0, size: 4096)]
    let memory: [MappedBytes]
    private(set) var state = State(brightness: 7)

    struct State: Codable, Sendable {
        var brightness: UInt8
    }

    var glass: MappedBytes { memory[0] }

    init(options: DeviceOptions, host: Host) throws {
        memory = [try MemoryFile(name: "glass", size: 4096)]
    }

    func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { 0 }
    func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {}
    func reset() { state = State(brightness: 7) }
    func restore(_ state: State) { self.state = state }

    static func migrate(_ state: JSON, from version: Int) throws(StateError) -> JSON {
        guard let isOn = state["isOn"]?.bool else { throw StateError("The lamp is neither on nor off.") }
        return ["brightness": isOn ? 255 : 0]
    }
}
