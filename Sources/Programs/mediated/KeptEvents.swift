import Linux
import Tap

/// The file in which the last events of a device that `mediated run` serves are left when its process dies: the memory
/// of the flight recorder, and behind it the device's type.
struct KeptEvents {
    let memory: [UInt8]
    let type: String

    /// Where the events of a device are left.
    ///
    /// - Parameter control: its control socket.
    static func path(besides control: String) -> String { "\(control).events" }

    /// The longest type, in bytes.
    private static let longestType = 256

    init(_ memory: [UInt8], ofType type: String) {
        self.memory = memory
        self.type = type
    }

    /// - Throws: `.invalidArgument` when the file is too short or too long; what the system says of it.
    init(reading path: String) throws(Errno) {
        let bytes = try Descriptor(reading: path).readBytes(upTo: EventRecorder.standardBytes + Self.longestType + 1)
        guard (EventRecorder.standardBytes...EventRecorder.standardBytes + Self.longestType).contains(bytes.count)
        else {
            throw .invalidArgument
        }
        memory = Array(bytes[..<EventRecorder.standardBytes])
        type = String(decoding: bytes[EventRecorder.standardBytes...], as: UTF8.self)
    }

    /// For its owner alone: it holds what went through registers.
    func write(to path: String) throws(Errno) {
        let file = try FileReplacement(path: path, mode: 0o600)
        try file.descriptor.writeAll((memory + Array(type.utf8)).span.bytes)
        try file.putInPlace()
    }
}
