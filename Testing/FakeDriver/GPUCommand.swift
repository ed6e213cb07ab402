import FakeGuest
import Linux

/// The commands that a driver of virtio-gpu has. VIRTIO 1.2, section 5.7.6.7
public enum GPUCommand: UInt32, CaseIterable, Sendable {
    case getDisplayInfo = 0x100
    case resourceCreate2D, resourceUnref, setScanout, resourceFlush, transferToHost2D
    case resourceAttachBacking, resourceDetachBacking
    case getCapsetInfo, getCapset, getEDID, resourceAssignUUID, resourceCreateBlob, setScanoutBlob
    case ctxCreate = 0x200
    case ctxDestroy, ctxAttachResource, ctxDetachResource, resourceCreate3D, transferToHost3D, transferFromHost3D
    case submit3D, resourceMapBlob, resourceUnmapBlob
    case updateCursor = 0x300
    case moveCursor

    /// The queue that it goes to: the control queue, or the cursor's.
    public var queue: Int { rawValue < 0x300 ? 0 : 1 }

    /// Whether it is one of those that a renderer carries out.
    public var needsRenderer: Bool {
        (0x200..<0x208).contains(rawValue) || self == .getCapset || self == .getCapsetInfo
    }

    /// `struct virtio_gpu_ctrl_hdr`
    ///
    /// - Parameter fence: nil: none is asked for.
    public func header(context: UInt32 = 0, fence: UInt64? = nil) -> [UInt8] {
        let fenceID = fence ?? 0
        return words(
            rawValue, fence == nil ? 0 : 1, UInt32(truncatingIfNeeded: fenceID), UInt32(fenceID >> 32), context, 0)
    }
}

/// Requests that a driver might send, made of small numbers mostly, of those at the edge of what is allowed, and now
/// and then of any: so that many of them make sense together, and many do not.
public struct RandomGPURequests<Source: RandomNumberGenerator> {
    public var source: Source
    /// Where the guest's memory for pixels is.
    private let memory: Range<UInt64>

    public init(_ source: Source, memory: Range<UInt64>) {
        self.source = source
        self.memory = memory
    }

    private static var edges: [UInt32] { [0, 1, .max, 1 << 31, 16384, 16385, 4096, 1 << 20] }

    /// By one number always: a fuzzer's input, of which nothing but zeros comes in the end, must not be asked again and
    /// again.
    private mutating func pick(_ count: Int) -> Int { Int(source.next() % UInt64(count)) }

    private mutating func number(_ limit: Int) -> UInt32 {
        switch pick(32) {
        case 0: Self.edges[pick(Self.edges.count)]
        case 1: UInt32(truncatingIfNeeded: source.next())
        default: UInt32(pick(limit))
        }
    }

    /// Of a resource or a context; few, so that they meet.
    private mutating func id() -> UInt32 { pick(64) == 0 ? number(256) : UInt32(pick(4) + 1) }

    private mutating func area() -> [UInt8] {
        pick(4) > 0
            ? words(0, 0, 64, 64) : words(number(8), number(8), number(80), number(80))
    }

    private mutating func entries() -> (count: UInt32, bytes: [UInt8]) {
        let count = pick(3) + 1
        let bytes = (0..<count).flatMap { _ in
            let address = memory.lowerBound + UInt64(pick(4)) * UInt64(memory.count / 4) + UInt64(number(64))
            return wire(address) + words(usually(UInt32(memory.count / 4), number(256)), 0)
        }
        return (pick(16) == 0 ? number(8) : UInt32(count), bytes)
    }

    /// What most requests need: two contexts, and a picture, a renderer's picture and buffer, and a blob, with memory
    /// behind all of them.
    public func scenery() -> [(command: GPUCommand, bytes: [UInt8])] {
        let name = words(4, 0) + [UInt8](repeating: 0x61, count: 64)
        let contexts = ([1, 2] as [UInt32]).map {
            (GPUCommand.ctxCreate, GPUCommand.ctxCreate.header(context: $0) + name)
        }
        let entry = wire(memory.lowerBound) + words(UInt32(memory.count / 4), 0)
        let blob = words(4, 1, 0, 1) + wire(UInt64(0), UInt64(64 * 64 * 4)) + entry
        let bodies: [(GPUCommand, [UInt8])] =
            [
                (.resourceCreate2D, words(1, 1, 64, 64)),
                (.resourceCreate3D, words(2, 2, 1, 0xa, 64, 64, 1, 1, 0, 0, 0, 0)),
                (.resourceCreate3D, words(3, 0, 64, 0x10, 4096, 1, 1, 1, 0, 0, 0, 0)), (.resourceCreateBlob, blob),
            ] + ([1, 2, 3] as [UInt32]).map { (.resourceAttachBacking, words($0, 1) + entry) }
        let attached = ([2, 3] as [UInt32]).map {
            (GPUCommand.ctxAttachResource, GPUCommand.ctxAttachResource.header(context: 1) + words($0, 0))
        }
        return contexts + bodies.map { ($0, $0.header() + $1) } + attached
    }

    /// A request of any kind.
    public mutating func next() -> (command: GPUCommand, bytes: [UInt8]) {
        // What a renderer makes of streams is the widest field.
        let command = pick(4) == 0 ? .submit3D : GPUCommand.allCases[pick(GPUCommand.allCases.count)]
        let context = command.needsRenderer && pick(16) > 0 ? UInt32(pick(2) + 1) : 0
        let header = command.header(context: context, fence: pick(4) == 0 ? UInt64(pick(256)) : nil)
        return (command, header + body(of: command))
    }

    private mutating func body(of command: GPUCommand) -> [UInt8] {
        switch command {
        case .getDisplayInfo, .ctxDestroy: return []
        case .resourceCreate2D: return words(id(), UInt32(pick(2) + 1), edge(), edge())
        case .resourceUnref, .resourceAssignUUID, .resourceDetachBacking, .resourceUnmapBlob, .ctxAttachResource,
            .ctxDetachResource:
            return words(id(), 0)
        case .setScanout: return area() + words(head(), id())
        case .resourceFlush: return area() + words(id(), 0)
        case .transferToHost2D: return area() + wire(UInt64(number(256))) + words(id(), 0)
        case .resourceAttachBacking:
            let (count, bytes) = entries()
            return words(id(), count) + bytes
        case .getCapsetInfo, .getEDID: return words(number(3), 0)
        case .getCapset: return words(number(4), number(3))
        case .resourceCreateBlob:
            let (count, bytes) = entries()
            let size = UInt64(usually(64, number(256))) << 8
            return words(id(), usually(1, number(3)), 0, count) + wire(UInt64(0), size) + bytes
        case .setScanoutBlob:
            let layout = words(edge(), edge(), UInt32(pick(3) + 1), 0, usually(64, number(80)) << 2, 0, 0, 0)
            return area() + words(head(), id()) + layout + words(usually(0, number(80)), 0, 0, 0)
        case .ctxCreate:
            return words(usually(4, number(80)), usually(0, number(4))) + [UInt8](repeating: 0x61, count: 64)
        case .resourceCreate3D: return words(id()) + resource()
        case .transferToHost3D, .transferFromHost3D:
            let box =
                pick(4) > 0 ? words(0, 0, 0, 64, 64, 1) : words(number(4), number(4), number(2), edge(), edge(), 1)
            return box + wire(UInt64(usually(0, number(256))))
                + words(id(), usually(0, number(2)), usually(256, number(256)), 0)
        case .submit3D:
            let stream = commandStream()
            return words(usually(UInt32(stream.count * 4), number(256)), 0) + words(stream)
        case .resourceMapBlob: return words(id(), 0) + wire(UInt64(number(256)) << 12)
        case .updateCursor, .moveCursor:
            return words(head(), number(80), number(80), 0, id(), number(80), number(80), 0)
        }
    }

    /// Of a renderer's: a picture mostly, or a buffer, or any target, format and binding.
    private mutating func resource() -> [UInt8] {
        switch pick(5) {
        case 0: return words(0, 64, 0x10, 4096, 1, 1, 1, 0, 0, 0, 0)
        case 1:
            let kind = words(number(9), number(180), 1 << (number(20) & 31), edge(), edge(), number(3), number(3))
            return kind + words(number(2), number(3), number(3), 0)
        default: return words(2, 1, 0xa, edge(), edge(), 1, 1, 0, 0, 0, 0)
        }
    }

    /// Seven times in eight the first one.
    private mutating func usually(_ number: UInt32, _ other: UInt32) -> UInt32 { pick(8) > 0 ? number : other }

    /// Of a picture: 64 pixels, mostly.
    private mutating func edge() -> UInt32 { pick(8) > 0 ? 64 : number(80) }

    private mutating func head() -> UInt32 { pick(8) > 0 ? UInt32(pick(2)) : number(4) }

    // MARK: Streams

    /// Words for a renderer (virgl_protocol.h): a scene that is right, with some words changed; or commands of any
    /// kind.
    public mutating func commandStream() -> [UInt32] {
        var words = pick(2) == 0 ? scene() : (0...pick(4)).flatMap { _ in command() }
        for _ in 0..<(pick(2) == 0 ? 0 : pick(6)) where !words.isEmpty { words[pick(words.count)] = number(256) }
        return words
    }

    private static func header(_ command: UInt32, _ object: UInt32, length: Int) -> UInt32 {
        command | object << 8 | UInt32(length) << 16
    }

    /// A command that may not exist, about as long as it should be.
    private mutating func command() -> [UInt32] {
        let length = pick(20)
        let body = (0..<length).map { _ in pick(8) == 0 ? Float(pick(64)).bitPattern : number(10) }
        let told = pick(16) == 0 ? Int(number(256) & 0xffff) : length
        return [Self.header(UInt32(pick(56)), UInt32(pick(12)), length: told)] + body
    }

    private static var vertexShader: String {
        "VERT\nDCL IN[0]\nDCL IN[1]\nDCL OUT[0], POSITION\nDCL OUT[1], COLOR\n0: MOV OUT[1], IN[1]\n1: MOV OUT[0], IN[0]\n2: END\n"
    }
    private static var fragmentShader: String {
        "FRAG\nDCL IN[0], COLOR, LINEAR\nDCL OUT[0], COLOR\n0: MOV OUT[0], IN[0]\n1: END\n"
    }

    /// What a program that draws a triangle sends.
    private mutating func scene() -> [UInt32] {
        let (picture, vertices) = (usually(2, id()), usually(3, id()))
        let surface = UInt32(pick(3) + 1)
        let one = Float(1).bitPattern
        var words: [UInt32] = []
        func add(_ command: UInt32, object: UInt32 = 0, _ body: [UInt32]) {
            words.append(Self.header(command, object, length: body.count))
            words += body
        }
        // A surface of the picture, to draw to; and the picture cleared.
        add(1, object: 8, [surface, picture, 1, 0, 0])
        add(5, [1, 0, surface])
        add(7, [4, one, 0, 0, one, 0, 0, 0])
        words += shader(10, type: 0, Self.vertexShader)
        words += shader(11, type: 1, Self.fragmentShader)
        // Vertices: what they consist of, where they are, and some of them.
        add(1, object: 5, [12, 0, 0, 0, 31, 16, 0, 0, 31])
        add(2, object: 5, [12])
        add(6, [32, 0, vertices])
        add(9, [vertices, 0, 0, 0, 0, 0, 0, 0, 16, 1, 1, 1, 2, 3, 4])
        add(8, [0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0])
        // A part of the picture to the same place, and the surface's end.
        let part: [UInt32] = [picture, 0, 1, 0, 0, 0, 8, 8, 1]
        add(16, [0xf, 0, 0] + part + part)
        add(3, object: 8, [surface])
        return words
    }

    /// VIRGL_OBJECT_SHADER made and bound; its text may be cut off, or have other letters.
    private mutating func shader(_ handle: UInt32, type: UInt32, _ text: String) -> [UInt32] {
        var bytes = Array(text.utf8)
        for _ in 0..<(pick(4) == 0 ? pick(4) : 0) { bytes[pick(bytes.count)] = UInt8(pick(96) + 32) }
        bytes += [UInt8](repeating: 0, count: 4 - bytes.count % 4)
        let words = stride(from: 0, to: bytes.count, by: 4).map { start in
            (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) }
        }
        return [Self.header(1, 4, length: 5 + words.count), handle, type, UInt32(bytes.count), 300, 0] + words
            + [Self.header(31, 0, length: 2), handle, type]
    }
}

/// 32 bits each, whatever they are made of.
private func words(_ numbers: UInt32...) -> [UInt8] { words(numbers) }

private func words(_ numbers: [UInt32]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(numbers.span.bytes)
    return bytes
}
