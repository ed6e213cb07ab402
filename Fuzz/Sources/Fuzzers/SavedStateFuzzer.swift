import Device
import DeviceCatalog
import FuzzSupport
import JSON

/// Feeds devices with states: those of devices that have done something, with some values changed. Most are refused,
/// and none may do harm. What is taken is a state as any other.
final class SavedStateFuzzer: FuzzTarget {
    private let subjects: [Subject]
    private(set) var reach: Reach<String>

    /// A device, and documents of states that it had.
    private struct Subject {
        let name: String
        let device: FuzzedFunction
        var documents: [JSON] = []
    }

    private static let types = [
        ("serial", []), ("bochs-display", ["vram=1280K", "resolution=640x480"]), ("exerciser", []),
        ("virtio-rng", []), ("virtio-gpu", ["heads=2", "vram=3M", "resolution=640x480", "blob=on"]),
    ]

    init() throws {
        subjects = try Self.types.map { type, options in
            let device = try FuzzedFunction { try DeviceCatalog.make(type, options: options, host: $0) }
            var subject = Subject(name: type, device: device)
            subject.documents.append(try Self.document(of: device))
            try UsedDevice.use(device) { subject.documents.append(try Self.document(of: device)) }
            if var old = subject.documents.last?.object {
                // From before there were versions.
                old["versions"] = nil
                subject.documents.append(.object(old))
            }
            return subject
        }
        reach = Reach(
            subjects.flatMap { ["\($0.name) took one", "\($0.name) refused one"] }
                + ["text refused", "extent taken", "extent refused", "taken state saved"])
    }

    /// Behind the header, up to the first extent.
    private static func document(of device: FuzzedFunction) throws -> JSON {
        let state = device.state()
        let length = state[12..<16].reversed().reduce(0) { $0 << 8 | Int($1) }
        return try JSON(parsing: Array(state[16..<16 + length]))
    }

    func run(_ input: inout Input) throws {
        let choice = input.byte()
        let subject = input.pick(subjects)
        try subject.device.begin(input)
        let text: [UInt8]
        if choice & 0x0f == 0 {
            text = input.take(Int(input.byte()))
        } else {
            var document = input.pick(subject.documents)
            for _ in 0..<(choice >> 4 & 3) { document.change(&input) }
            text = Array(document.text.utf8)
        }
        let header = Array("MEDIATED".utf8) + number(1, 4) + number(UInt64(text.count), 4)
        let writer = StateWriter(subject.device.function)
        do {
            try writer.write((header + text).span.bytes)
        } catch {
            reach.note(choice & 0x0f == 0 ? "text refused" : "\(subject.name) refused one")
            return try requireReset(subject, input)
        }
        do {
            for _ in 0..<(choice >> 6) {
                try writer.write(extent(&input).span.bytes)
                reach.note("extent taken")
            }
        } catch {
            return reach.note("extent refused")
        }
        do {
            try writer.write([UInt8](repeating: 0, count: 24).span.bytes)
            try writer.finish()
        } catch {
            reach.note("\(subject.name) refused one")
            return try requireReset(subject, input)
        }
        reach.note("\(subject.name) took one")
        for framebuffer in subject.device.function.display?.heads ?? [] { _ = framebuffer.scanout }
        _ = subject.device.look()
        try UsedDevice.touch(subject.device)
        if subject.device.saveAndRestore() { reach.note("taken state saved") }
        subject.device.restoreAsMade()
    }

    /// What a state that is refused leaves behind ends with a reset, too.
    private func requireReset(_ subject: Subject, _ input: Input) throws {
        if input.may(.comparison, oneIn: 8) { try subject.device.requireReset() }
    }

    /// A piece of memory that there may be.
    private func extent(_ input: inout Input) -> [UInt8] {
        let shape = input.byte()
        let memory: UInt64 = [0, 2, 16, 17][Int(shape & 3)]
        let offset = shape & 4 == 0 ? UInt64(input.byte()) << 12 : input.number(bytes: 8)
        let bytes = input.take(Int(input.byte() & 0x1f))
        let length = shape & 8 == 0 ? UInt64(bytes.count) : input.number(bytes: 8)
        return number(memory, 4) + number(0, 4) + number(offset, 8) + number(length, 8) + bytes
    }

    private func number(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }
}

/// What a device did before.
private enum UsedDevice {
    /// Writes to a device's registers, always the same numbers.
    ///
    /// - Parameter pause: called now and then.
    static func use(_ device: FuzzedFunction, _ pause: () throws -> Void) throws {
        var number: UInt64 = 1
        for _ in 0..<3 {
            for _ in 0..<200 {
                // Numerical Recipes' generator.
                number = number &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let region = Int(number >> 60) & 7
                let bytes = (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0 + 8)) }
                let offset = number >> 44 & (region == 7 ? 0xfc : 0x7fc)
                try? device.function.write(region: region, offset: offset, from: bytes.span.bytes)
            }
            try pause()
        }
    }

    /// Reads what a driver would.
    static func touch(_ device: FuzzedFunction) throws {
        for region in 0..<8 where (device.function.region(region)?.size ?? 0) > 0 {
            var bytes = [UInt8](repeating: 0, count: 8)
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            // It may be in D3hot.
            try? device.function.read(region: region, offset: 0, into: &raw)
        }
        try device.host.loop.dispatch(within: .zero)
    }
}

extension JSON {
    /// Changes one value, wherever the input leads.
    fileprivate mutating func change(_ input: inout Input) {
        let step = input.byte()
        switch self {
        case .object(var object) where step & 0x80 == 0 && !object.names.isEmpty:
            let name = object.names[Int(step) % object.names.count]
            if step & 0x78 == 0x78 {
                object[name] = nil
            } else {
                object[name]?.change(&input)
            }
            self = .object(object)
        case .array(var elements) where step & 0x80 == 0:
            switch step & 0x78 {
            case 0x78 where !elements.isEmpty: elements.removeLast()
            case 0x70: elements.append(elements.last ?? .integer(Int128(input.byte())))
            default: if !elements.isEmpty { elements[Int(input.byte()) % elements.count].change(&input) }
            }
            self = .array(elements)
        case .integer(let value) where step & 0x80 == 0: self = Self.number(near: value, step, &input)
        case .bool(let value): self = .bool(!value)
        default: self = Self.anything(&input)
        }
    }

    private static func number(near value: Int128, _ step: UInt8, _ input: inout Input) -> JSON {
        switch step & 7 {
        case 0: .integer(value + 1)
        case 1: .integer(value - 1)
        case 2: .integer(Int128(input.byte()))
        case 3: .integer(value ^ 1 << Int128(input.byte() & 63))
        case 4: .integer(Int128(input.pick([1 << 16, 1 << 31, 1 << 32, 1 << 63, .max] as [UInt64])))
        case 5: .integer(-Int128(input.byte()))
        default: .integer(Int128(input.number(bytes: 8)))
        }
    }

    private static func anything(_ input: inout Input) -> JSON {
        switch input.byte() & 7 {
        case 0: .null
        case 1: .bool(true)
        case 2: .number(0.5)
        case 3: .string("")
        case 4: .array([])
        case 5: .object(.init())
        default: .integer(Int128(input.byte()))
        }
    }
}
