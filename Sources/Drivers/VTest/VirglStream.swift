import Linux

/// Where a command stream of virgl names resources.
///
/// A program that speaks vtest gives its resources numbers of its own, and its streams have them. On a vGPU several
/// programs have resources, so each number there is another one. virglrenderer's `virgl_protocol.h`
enum VirglStream {
    /// The words of a command that are resources' numbers, counted from its header.
    private struct Places {
        var words: [Int] = []
        /// From this word on, and so many further, again and again.
        var repeated: (first: Int, step: Int)?
    }

    /// VIRGL_CCMD_CREATE_OBJECT, whose places depend on the kind of object.
    private static let createObject: UInt32 = 1

    /// By `enum virgl_object_type`: views, surfaces, queries and targets.
    private static let ofObjects: [UInt32: Places] = [
        6: Places(words: [2]), 8: Places(words: [2]), 9: Places(words: [4]), 10: Places(words: [2]),
        11: Places(words: [2]),
    ]

    /// By `enum virgl_context_cmd`.
    private static let ofCommands: [UInt32: Places] = [
        // Vertex buffers, the buffers of an indirect draw, inline writes, the index buffer
        6: Places(repeated: (3, 3)), 8: Places(words: [15, 20]), 9: Places(words: [1]), 11: Places(words: [1]),
        // Blits, copies, uniform buffers
        16: Places(words: [4, 13]), 17: Places(words: [1, 6]), 27: Places(words: [5]),
        // Shaders' buffers and images, an indirect grid, atomic counters
        34: Places(repeated: (5, 3)), 35: Places(repeated: (7, 5)), 37: Places(words: [7]),
        40: Places(repeated: (4, 3)),
        // The result of a query, transfers, cleared textures, a type for a blob, what memory there is
        42: Places(words: [2]), 43: Places(words: [1]), 45: Places(words: [1, 12]), 47: Places(words: [1]),
        49: Places(words: [1]), 50: Places(words: [1]),
        // Video: the planes of a buffer, what is decoded from, what is encoded to
        55: Places(repeated: (5, 1)), 59: Places(words: [3, 4]), 60: Places(words: [3, 4, 5]),
    ]

    /// Replaces the number of each resource in a stream. What is cut off stays as it is: no renderer takes it.
    static func renumber(_ stream: inout [UInt8], _ number: (UInt32) -> UInt32) {
        var span = stream.mutableSpan
        var bytes = span.mutableBytes
        let count = bytes.byteCount / 4
        var position = 0
        while position < count {
            let header = word(bytes, position)
            let length = Int(header >> 16)
            guard length < count - position else { return }
            let command = header & 0xff
            if let places = command == createObject ? ofObjects[header >> 8 & 0xff] : ofCommands[command] {
                for place in places.words where place <= length { replace(&bytes, position + place, number) }
                if let (first, step) = places.repeated, first <= length {
                    for place in stride(from: first, through: length, by: step) {
                        replace(&bytes, position + place, number)
                    }
                }
            }
            position += 1 + length
        }
    }

    private static func replace(_ bytes: inout MutableRawSpan, _ position: Int, _ number: (UInt32) -> UInt32) {
        let old = word(bytes, position)
        if old != 0 { bytes.storeBytes(of: number(old).littleEndian, toByteOffset: 4 * position, as: UInt32.self) }
    }

    private static func word(_ bytes: borrowing MutableRawSpan, _ position: Int) -> UInt32 {
        // SAFETY: every bit pattern is a number, and the span checks that all of it is inside.
        UInt32(littleEndian: bytes.bytes.unsafeLoadUnaligned(fromByteOffset: 4 * position, as: UInt32.self))
    }
}
