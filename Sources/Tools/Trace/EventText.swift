import Device
import JSON
import PCI
import Tap

/// Writes events down: a line each for people, and an object each for programs.
public struct EventText: Sendable {
    private let names: RegisterNames
    /// As `EventReader.clock`.
    private let clock: UInt64

    /// - Parameters:
    ///   - names: of the device's registers.
    ///   - clock: what makes nanoseconds since 1970 of an event's time.
    public init(_ names: RegisterNames, clock: UInt64) {
        self.names = names
        self.clock = clock
    }

    // MARK: For people

    /// What stands above the lines.
    public static let heading = columns(
        "TIME (UTC)", "EVENT", "WHERE", "VALUE", "WAY", "TOOK")

    /// Time, kind, place with the register's name, value, way, and how long it took.
    public func line(_ event: Event) -> String {
        Self.columns(
            Self.timeOfDay(event.time &+ clock), event.kind.word, place(event), value(event), event.way?.word ?? "",
            event.latency.map { Self.duration(UInt64($0)) } ?? "")
    }

    private static func columns(
        _ time: String, _ kind: String, _ place: String, _ value: String, _ way: String, _ latency: String
    ) -> String {
        let columns = [
            padded(time, 18), padded(kind, 12), padded(place, 44), padded(value, 24), padded(way, 8), latency,
        ]
        var line = columns.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line
    }

    /// Where it was: the region with the register's name, an address, a vector, a name.
    public func place(_ event: Event) -> String {
        switch event.kind {
        case .read, .write, .doorbell:
            let register = names[event].map { " \($0)" } ?? ""
            return "\(Self.region(event.region))+0x\(String(event.offset, radix: 16))\(register)"
        case .memoryRead, .memoryWrite, .memoryFault: return "0x\(Self.hexadecimal(event.offset, digits: 12))"
        case .mapped, .unmapped: return "0x\(Self.hexadecimal(event.offset, digits: 12))"
        case .message: return "vector \(event.offset)"
        case .altered: return "rule \(event.offset)"
        case .look: return "\(event.name)+0x\(String(event.offset, radix: 16))"
        case .monitor: return "head \(event.region)"
        default: return event.name
        }
    }

    private func value(_ event: Event) -> String {
        switch event.kind {
        case .read, .write, .random, .clock: return Self.bytes(event)
        case .doorbell: return event.count == 1 ? "once" : "\(event.count) times"
        case .memoryRead, .memoryWrite, .look, .received, .sent: return "\(event.count) bytes"
        case .mapped, .unmapped: return "\(event.count) bytes"
        case .pin: return event.value == 0 ? "deasserted" : "asserted"
        case .running: return event.value == 0 ? "stands still" : "goes on"
        case .monitor: return event.offset == 0 ? "none" : "\(event.offset)x\(event.value)"
        case .quota: return "\(event.offset) bytes, \(event.value) pictures/s"
        default: return ""
        }
    }

    /// As a number of the access's width; of a longer one the length.
    private static func bytes(_ event: Event) -> String {
        guard (1...8).contains(event.count) else { return "\(event.count) bytes" }
        return "0x\(hexadecimal(event.value, digits: 2 * Int(event.count)))"
    }

    private static func region(_ index: UInt8) -> String {
        switch Int(index) {
        case RegionIndex.configuration: "config"
        case RegionIndex.rom: "rom"
        default: "bar\(index)"
        }
    }

    private static func hexadecimal(_ number: UInt64, digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// Hours, minutes, seconds and their billionths.
    public static func timeOfDay(_ nanoseconds: UInt64) -> String {
        func digits(_ number: UInt64, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let seconds = nanoseconds / 1_000_000_000
        return "\(digits(seconds / 3600 % 24, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2))."
            + digits(nanoseconds % 1_000_000_000, 9)
    }

    /// With three digits, in the unit that suits.
    static func duration(_ nanoseconds: UInt64) -> String {
        func fraction(_ number: UInt64, _ unit: UInt64, _ name: String) -> String {
            let tenths = number * 10 / unit
            return tenths < 1000 ? "\(tenths / 10).\(tenths % 10) \(name)" : "\(tenths / 10) \(name)"
        }
        return switch nanoseconds {
        case ..<1000: "\(nanoseconds) ns"
        case ..<1_000_000: fraction(nanoseconds, 1000, "µs")
        case ..<1_000_000_000: fraction(nanoseconds, 1_000_000, "ms")
        default: fraction(nanoseconds, 1_000_000_000, "s")
        }
    }

    // MARK: For programs

    /// What is known of the event. Numbers that may have 64 bits are texts in hexadecimal, since JSON's have fewer.
    public func json(_ event: Event) -> JSON {
        var members: JSON.Object = [
            "number": JSON(event.number), "time": .number(Double(event.time &+ clock) / 1e9),
            "event": .string(event.kind.word),
        ]
        if event.hasRegion { members["region"] = .string(Self.region(event.region)) }
        if event.hasOffset { members["offset"] = .string("0x" + String(event.offset, radix: 16)) }
        if let register = names[event] { members["register"] = .string(register) }
        if event.kind == .message { members["vector"] = JSON(event.offset) }
        if event.kind == .altered { members["rule"] = JSON(event.offset) }
        if event.hasValue { members["value"] = .string("0x" + String(event.value, radix: 16)) }
        if event.count > 0 { members["count"] = JSON(event.count) }
        if event.kind == .monitor {
            members["head"] = JSON(event.region)
            members["width"] = JSON(event.offset)
            members["height"] = JSON(event.value)
        }
        if event.kind == .quota {
            members["vram"] = JSON(event.offset)
            members["frameRate"] = JSON(event.value)
        }
        if !event.name.isEmpty { members["name"] = .string(event.name) }
        if let way = event.way { members["way"] = .string(way.word) }
        if let latency = event.latency { members["nanoseconds"] = JSON(latency) }
        return .object(members)
    }
}
