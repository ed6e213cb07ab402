import Device
import Linux

/// The saving of a function's state in pieces, between which the device's client is served: all of a large display's
/// memory would hold a guest for a quarter of a second.
///
/// Registers, queues and what is in flight are of the moment at which it begins. Pixels may be of a later one: a guest
/// draws at any time in memory that it has mapped. Memory that is given back meanwhile may show somebody else's picture
/// by then, so the saving begins anew.
final class StateSaving {
    /// How many bytes one piece has.
    static let pieceSize = 4 << 20
    /// So often it begins anew; the last time it isn't interrupted. A guest that never leaves its memory alone holds
    /// itself up.
    static let mostBeginnings = 8

    /// Another one may be in the place of the first meanwhile.
    private let function: () -> Function
    private var copy: StateCopy?
    private var beginnings = 0

    /// - Parameter function: gives the one that is there now.
    init(of function: @escaping () -> Function) {
        self.function = function
    }

    /// Copies one piece more.
    ///
    /// - Returns: the file that begins with the state, and the state's size in bytes, once it is all there.
    /// - Throws: `JSONError` when the device's state can't be encoded, `Errno` when there is no memory for a copy.
    func next() throws -> (file: MemoryFile, size: Int)? {
        var copy = try current()
        try copy.add(beginnings < Self.mostBeginnings ? Self.pieceSize : .max)
        self.copy = copy
        return copy.done < copy.reader.size ? nil : (copy.file, copy.done)
    }

    private func current() throws -> StateCopy {
        let function = function()
        if let copy, copy.function === function, copy.reader.isCurrent { return copy }
        // Before there is another.
        copy = nil
        beginnings += 1
        function.letGoOfWhatWaits()
        return try StateCopy(of: function)
    }
}

/// A state that is copied in pieces into a file, which takes none of the memory that a process may have for itself.
struct StateCopy {
    let function: Function
    let reader: StateReader
    let file: MemoryFile
    private(set) var done = 0

    init(of function: Function) throws {
        self.function = function
        reader = try StateReader(function)
        file = try MemoryFile(name: "state", size: reader.size)
    }

    /// Copies so many bytes more, or all that are left.
    mutating func add(_ count: Int) throws(Errno) {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let end = done + min(count, reader.size - done)
        while done < end {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            let count = reader.read(into: &raw)
            // Written and not mapped: pages that this process has never mapped are let go of faster.
            try file.descriptor.writeAll(bytes.span.bytes.extracting(first: count))
            done += count
        }
    }

    /// Copies bytes of the state back, those that are there and that there is room for.
    ///
    /// - Returns: how many there are.
    func copy(from offset: Int, into target: inout MutableRawSpan) -> Int {
        let count = min(done - offset, target.byteCount)
        return file.copy(at: offset, count: count, into: &target) ? count : 0
    }
}
