import FakeGuest
import Glibc
import Linux
import Testing
import VFIO

/// How many descriptors of this process are open on the memory file with a name, which no other test may use.
func openDescriptors(ofMemoryFile name: String) throws -> Int {
    let folder = try #require(opendir("/proc/self/fd"))
    defer { closedir(folder) }
    var count = 0
    while let entry = readdir(folder) {
        let number = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        var target = [UInt8](repeating: 0, count: 256)
        let length = target.withUnsafeMutableBytes { readlink("/proc/self/fd/" + number, $0.baseAddress!, $0.count) }
        if length > 0, String(decoding: target[..<length], as: UTF8.self).hasPrefix("/memfd:" + name) { count += 1 }
    }
    return count
}

/// The payload of a message: numbers one after the other.
func fields(_ numbers: any FixedWidthInteger...) -> [UInt8] {
    numbers.flatMap { number in
        func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] { RawClient.bytes(number) }
        return bytes(number)
    }
}

extension [UInt8] {
    /// The number at `offset`.
    func number<Number: FixedWidthInteger>(_ type: Number.Type, at offset: Int) -> Number {
        withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
    }
}

/// A device with a raw client that has agreed on a version, for one test.
struct Connection {
    let device: ServedDevice
    let raw: RawClient

    init(_ type: String = "exerciser", options: [String] = []) throws {
        device = try ServedDevice(type, options: options)
        raw = try device.rawClient()
        try raw.negotiate()
    }

    /// Expects that a command is refused with `errno`, and that the session goes on.
    func expect(
        _ errno: Errno, _ command: Command, _ payload: [UInt8], descriptors: [Int32] = [],
        _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let reply = try raw.call(command, payload, descriptors: descriptors)
        #expect(reply.errno == errno, comment, sourceLocation: sourceLocation)
        #expect(reply.payload.isEmpty, comment, sourceLocation: sourceLocation)
        let after = try raw.call(.deviceGetInfo, fields(UInt32(16), UInt32(0), UInt32(0), UInt32(0)))
        #expect(after.errno == nil, "the session goes on", sourceLocation: sourceLocation)
    }

    /// Expects that every length but the right one is refused.
    func expectOnlyThisLength(
        _ command: Command, _ payload: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        for size in [0, 1, payload.count - 1] where size < payload.count && size >= 0 {
            try expect(
                .invalidArgument, command, Array(payload.prefix(size)), "\(size) bytes", sourceLocation: sourceLocation)
        }
        try expect(.invalidArgument, command, payload + [0], "one too many", sourceLocation: sourceLocation)
    }
}
