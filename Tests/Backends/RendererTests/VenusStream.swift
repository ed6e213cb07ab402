/// Words of Venus's command stream, as Mesa encodes them (venus-protocol): a command's number and flags, and its
/// arguments, pointers being whether there is something behind.
enum VenusStream {
    /// Where a ring of the tests' has what, from its memory's beginning, in bytes.
    enum Ring {
        static let head: UInt64 = 0
        static let tail: UInt64 = 64
        static let status: UInt64 = 128
        static let buffer: UInt64 = 192
        static let bufferSize: UInt64 = 4096
        static let extra: UInt64 = 4288
        static let extraSize: UInt64 = 64
    }

    private static let enumerateInstanceVersion: UInt32 = 137
    private static let setReplyCommandStream: UInt32 = 178
    private static let createRing: UInt32 = 188
    private static let ringCreateInfo: UInt32 = 1_000_384_000

    /// Has the context's process take commands from a ring in a resource's memory.
    static func createRing(_ id: UInt64, in resource: UInt32, size: UInt64) -> [UInt32] {
        let offsets = [
            0, size, 50_000_000, Ring.head, Ring.tail, Ring.status, Ring.buffer, Ring.bufferSize, Ring.extra,
            Ring.extraSize,
        ]
        return [createRing, 0] + [id, 1].flatMap(words) + [ringCreateInfo] + words(0) + [0, resource]
            + offsets.flatMap(words)
    }

    /// Asks for the version of Vulkan, with the answer at the beginning of a resource's memory.
    static func version(to resource: UInt32, size: UInt64) -> [UInt32] {
        [setReplyCommandStream, 0] + words(1) + [resource] + [0, size].flatMap(words)
            + [enumerateInstanceVersion, 1] + words(1)
    }

    private static func words(_ number: UInt64) -> [UInt32] {
        [UInt32(truncatingIfNeeded: number), UInt32(truncatingIfNeeded: number >> 32)]
    }
}
