import Linux
import VirtioGPUDriver

/// What a program is still to get, in its order. Each is sent as far as the program takes it.
struct Output {
    enum Piece {
        case bytes([UInt8])
        /// A byte, and with it the descriptor of memory; nil: the memory that was asked for isn't there.
        case descriptor(SharedMemory?)
        /// So many of the first bytes of memory.
        case contents(SharedMemory, count: Int)
    }

    private(set) var pieces: [Piece] = []
    /// How many bytes of the first piece have gone.
    private var sent = 0

    /// How much waits, in pieces.
    var count: Int { pieces.count }

    mutating func add(_ piece: Piece) { pieces.append(piece) }

    /// An answer: a header and words.
    mutating func add(_ number: VTestNumber, _ words: UInt32...) {
        add(.bytes(number.message(words)))
    }

    private static let contentsAtATime = 64 << 10

    /// Sends what the socket has room for.
    ///
    /// - Parameter send: is given bytes, and a descriptor to go with them or -1; tells how many bytes have gone.
    /// - Returns: the memory whose contents were sent.
    /// - Throws: what `send` throws.
    mutating func flush(
        _ send: (RawSpan, Int32) throws(Errno) -> Int
    ) throws(Errno) -> [SharedMemory] {
        var given: [SharedMemory] = []
        while let piece = pieces.first {
            switch piece {
            case .bytes(let bytes):
                sent += try send(bytes.span.bytes.extracting(droppingFirst: sent), -1)
                guard sent == bytes.count else { return given }
            case .descriptor(let memory):
                let byte: [UInt8] = [0]
                guard try send(byte.span.bytes, memory?.file?.descriptor.raw ?? -1) == 1 else { return given }
                memory?.closeFile()
            case .contents(let memory, let count):
                let size = min(Self.contentsAtATime, count - sent)
                var chunk = [UInt8](repeating: 0, count: size)
                var span = chunk.mutableSpan
                var raw = span.mutableBytes
                memory.file?.copy(at: sent, count: size, into: &raw)
                let gone = try send(chunk.span.bytes, -1)
                sent += gone
                guard sent == count else {
                    if gone == 0 { return given }
                    continue
                }
                given.append(memory)
            }
            pieces.removeFirst()
            sent = 0
        }
        return given
    }
}
