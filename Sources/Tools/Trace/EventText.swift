import PCI
import Tap
import VFIO

/// Writes events down: a line each for people, and an object each for programs.
public struct EventText: Sendable {
    let names: RegisterNames
    /// As `EventReader.clock`.
    let clock: UInt64

    /// - Parameters:
    ///   - names: of the device's registers and queues.
    ///   - clock: what makes nanoseconds since 1970 of an event's time.
    public init(_ names: RegisterNames, clock: UInt64) {
        self.names = names
        self.clock = clock
    }

    /// A part of a line, and what it is. Its text may be a guest's, with all that can be in it.
    public struct Piece: Equatable, Sendable {
        public var text: String
        public var style: Style
    }

    // MARK: Lines

    /// What stands above the lines.
    public static let heading = line(
        row("TIME (UTC)", "EVENT", .plain, "WHERE", "VALUE", "WAY", "TOOK", "MEANING"))

    /// Time, kind, place with the register's name, value, way, how long it took, and what the value means.
    public func line(_ event: Event) -> String { Self.line(pieces(event)) }

    /// The same, piece by piece. Together the texts are the line.
    public func pieces(_ event: Event) -> [Piece] {
        Self.row(
            Self.timeOfDay(event.time &+ clock), event.kind.word, event.kind.style, place(event), value(event),
            event.way?.word ?? "", event.latency.map { Self.duration(UInt64($0)) } ?? "", meaning(event))
    }

    private static func line(_ pieces: [Piece]) -> String { pieces.map(\.text).joined() }

    private static func row(
        _ time: String, _ kind: String, _ style: Style, _ place: String, _ value: String, _ way: String,
        _ latency: String, _ meaning: String
    ) -> [Piece] {
        let columns: [(text: String, width: Int, style: Style)] = [
            (time, 18, .faint), (kind, 12, style), (place, 44, .plain), (value, 24, .plain), (way, 8, .faint),
            (latency, 8, .faint), (meaning, 0, style),
        ]
        guard let last = columns.lastIndex(where: { !$0.text.isEmpty }) else { return [] }
        return columns[...last].enumerated().map { index, column in
            Piece(
                text: index == last ? column.text : padded(column.text, column.width) + "  ", style: column.style)
        }
    }

    static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    // MARK: Columns

    /// Where it was: the region with the register's name, an address, a vector, a name.
    public func place(_ event: Event) -> String {
        switch event.kind {
        case .read, .write, .doorbell:
            let register = names[event].map { " \($0)" } ?? ""
            return "\(Self.region(event.region))+0x\(String(event.offset, radix: 16))\(register)"
        case .memoryRead, .memoryWrite, .memoryFault: return "0x\(Self.hexadecimal(event.offset, digits: 12))"
        case .mapped, .unmapped: return "0x\(Self.hexadecimal(event.offset, digits: 12))"
        case .message, .pending: return "vector \(event.offset)"
        case .altered: return "rule \(event.offset)"
        case .look: return "\(event.name)+0x\(String(event.offset, radix: 16))"
        case .monitor: return "head \(event.region)"
        case .command: return names.command(event) ?? ""
        case .request, .completion: return names.queue(event) + (names.command(event).map { " \($0)" } ?? "")
        case .client: return ""
        default: return event.name
        }
    }

    private func value(_ event: Event) -> String {
        switch event.kind {
        case .read, .write, .random, .clock: return Self.bytes(event)
        case .doorbell: return event.count == 1 ? "once" : "\(event.count) times"
        case .memoryRead, .memoryWrite, .look, .received, .sent: return "\(event.count) bytes"
        case .mapped, .unmapped: return "\(event.count) bytes"
        case .command: return "\(event.count) bytes\(event.name.isEmpty ? "" : ", with \(event.name)")"
        case .request, .completion: return "\(event.count) bytes"
        case .client: return event.value == 0 ? "has left" : "has come"
        case .pin: return event.value == 0 ? "deasserted" : "asserted"
        case .pending: return event.value == 0 ? "waits no more" : "waits"
        case .running: return event.value == 0 ? "stands still" : "goes on"
        case .monitor: return event.offset == 0 ? "none" : "\(event.offset)x\(event.value)"
        case .quota: return "\(event.offset) bytes, \(event.value) pictures/s"
        default: return ""
        }
    }

    /// The bits that are set and what the others say; the fields of a message.
    private func meaning(_ event: Event) -> String {
        if let fields = names.fields(event) { return fields.map { "\($0.name)=\($0.text)" }.joined(separator: " ") }
        let parts = names.parts(of: event)
        return parts.enumerated().compactMap { index, part in
            let words = part.fields.compactMap { field in
                field.reading(of: part.value) == .flag(false) ? nil : field.text(of: part.value)
            }
            // The first register's name and value are there already.
            let isKnown = !part.fields.isEmpty
            let list = isKnown ? "[\(words.joined(separator: " "))]" : ""
            guard index > 0 || names[event] == nil else { return isKnown ? list : nil }
            let digits = (part.bits.count + 3) / 4
            let value = Self.hexadecimal(part.value >> UInt64(part.bits.lowerBound), digits: digits)
            return "\(part.name)=0x\(value)\(isKnown ? " " : "")\(list)"
        }.joined(separator: " ")
    }

    /// As a number of the access's width; of a longer one the length.
    private static func bytes(_ event: Event) -> String {
        guard (1...8).contains(event.count) else { return "\(event.count) bytes" }
        return "0x\(hexadecimal(event.value, digits: 2 * Int(event.count)))"
    }

    static func region(_ index: UInt8) -> String {
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

    /// With three digits, in the unit that suits.
    static func duration(_ nanoseconds: UInt64) -> String {
        func fraction(_ number: UInt64, _ unit: UInt64, _ name: String) -> String {
            let tenths = number / (unit / 10)
            return tenths < 1000 ? "\(tenths / 10).\(tenths % 10) \(name)" : "\(tenths / 10) \(name)"
        }
        return switch nanoseconds {
        case ..<1000: "\(nanoseconds) ns"
        case ..<1_000_000: fraction(nanoseconds, 1000, "µs")
        case ..<1_000_000_000: fraction(nanoseconds, 1_000_000, "ms")
        default: fraction(nanoseconds, 1_000_000_000, "s")
        }
    }
}

extension EventText {
    /// What a piece of a line is, which colours show on a terminal.
    public enum Style: Sendable {
        case plain, faint, read, write, memory, fault, interrupt, queue
    }
}

extension Event.Kind {
    /// In which group of events it is.
    public var style: EventText.Style {
        switch self {
        case .read: .read
        case .write, .doorbell: .write
        case .memoryRead, .memoryWrite, .look: .memory
        case .memoryFault: .fault
        case .message, .pin, .pending: .interrupt
        case .request, .completion: .queue
        default: .plain
        }
    }
}
