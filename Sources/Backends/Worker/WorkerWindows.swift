import Linux

/// The memory that a device process shares with its worker, in windows.
public struct WorkerWindows {
    private final class File {
        let descriptor: Descriptor

        init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
    }

    private final class Window {
        let mapping: Mapping
        /// Nil where the library has no use for it: there may be more windows than descriptors.
        let file: File?
        /// Where it begins in the file.
        let offset: UInt64

        init(_ file: consuming Descriptor, _ offset: UInt64, size: Int, keepsFile: Bool) throws(Errno) {
            mapping = try Mapping(of: file, at: offset, size: size)
            self.file = keepsFile ? File(file) : nil
            self.offset = offset
        }
    }

    private var windows: [UInt32: Window] = [:]
    /// Whether the files of windows that come are kept open. ``withFile(of:_:)``
    var keepsFiles = false

    /// - Throws: `.invalidArgument` when there is such a window, or `mmap(2)`'s error.
    mutating func add(
        _ window: UInt32, _ file: consuming Descriptor, _ offset: UInt64, _ size: UInt64
    ) throws(Errno) {
        guard windows[window] == nil, let size = Int(exactly: size) else { throw .invalidArgument }
        windows[window] = try Window(file, offset, size: size, keepsFile: keepsFiles)
    }

    mutating func remove(_ window: UInt32) {
        windows[window] = nil
    }

    /// Where a piece is, until its window is forgotten; nil when it is in none, or not inside.
    public func address(of piece: MemoryPiece) -> (base: UnsafeMutableRawPointer, size: Int)? {
        guard let window = window(of: piece) else { return nil }
        // SAFETY: inside the window, which is unmapped after the library has forgotten it.
        return (window.mapping.base + Int(piece.offset), Int(piece.size))
    }

    /// Calls `body` with the file that a piece lies in, and where it begins there, in bytes.
    ///
    /// - Returns: nil when the piece is in no window, or not inside, or files aren't kept: ``WorkerLibrary/usesFiles``.
    public func withFile<Result, Failure: Error>(
        of piece: MemoryPiece, _ body: (borrowing Descriptor, UInt64) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard let window = window(of: piece), let file = window.file else { return nil }
        // Both are within a mapping that there is.
        return try body(file.descriptor, window.offset &+ piece.offset)
    }

    private func window(of piece: MemoryPiece) -> Window? {
        guard let window = windows[piece.window], piece.size > 0, piece.offset <= UInt64(window.mapping.size),
            piece.size <= UInt64(window.mapping.size) - piece.offset
        else { return nil }
        return window
    }
}
