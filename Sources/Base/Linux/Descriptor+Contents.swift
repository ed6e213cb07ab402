import Glibc

extension Descriptor {
    /// Opens a file for reading. `open(2)`
    public init(reading path: String) throws(Errno) {
        self.init(owning: try systemCall { open(path, O_RDONLY | O_CLOEXEC) })
    }

    /// Opens a file for writing. `open(2)`
    public init(writing path: String) throws(Errno) {
        self.init(owning: try systemCall { open(path, O_WRONLY | O_CLOEXEC) })
    }

    /// Opens a file for reading, and for writing at its end wherever that is by then. No symbolic link is followed.
    /// `O_APPEND`
    ///
    /// - Parameter mode: the permissions, less the umask, of a file that isn't there and is made; nil: none is made.
    public init(appendingTo path: String, mode: mode_t? = nil) throws(Errno) {
        let flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (mode == nil ? 0 : O_CREAT)
        self.init(owning: try systemCall { open(path, flags, mode ?? 0) })
    }

    /// Makes a file and opens it for writing. No symbolic link is followed. `O_EXCL`
    ///
    /// - Parameters:
    ///   - mode: the new file's permissions, less the umask.
    ///   - replaces: a regular file that is there goes.
    /// - Throws: `.fileExists` when something is there that doesn't go; what `open(2)` says.
    public init(making path: String, mode: mode_t, replaces: Bool = false) throws(Errno) {
        var status = stat()
        if replaces, lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG {
            try systemCall { unlink(path) }
        }
        self.init(owning: try systemCall { open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode) })
    }

    /// The bytes that one call reads, at most `limit`; none only where the file ends. `read(2)`
    public borrowing func readOnce(upTo limit: Int) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        var span = bytes.mutableSpan
        let count = try span.withUnsafeMutableBytes { bytes throws(Errno) in try read(into: bytes) }
        bytes.removeSubrange(count...)
        return bytes
    }

    /// The next bytes, at most `limit`; fewer only where the file ends. `read(2)`
    public borrowing func readBytes(upTo limit: Int) throws(Errno) -> [UInt8] {
        let raw = raw
        return try Self.collect(limit) { target, _ in Glibc.read(raw, target.baseAddress, target.count) }
    }

    /// The bytes from `offset` on, at most `limit`; fewer only where the file ends. `pread(2)`
    public borrowing func readBytes(at offset: Int, upTo limit: Int) throws(Errno) -> [UInt8] {
        let raw = raw
        return try Self.collect(limit) { target, done in
            Glibc.pread(raw, target.baseAddress, target.count, offset + done)
        }
    }

    /// - Parameter read: reads into a buffer when so many bytes are there already.
    private static func collect(
        _ limit: Int, read: (UnsafeMutableRawBufferPointer, Int) -> Int
    ) throws(Errno) -> [UInt8] {
        var result: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: max(0, min(limit, 1 << 20)))
        while result.count < limit {
            let wanted = min(piece.count, limit - result.count)
            let done = result.count
            var span = piece.mutableSpan
            let count = try span.withUnsafeMutableBytes { piece throws(Errno) in
                try systemCall { read(UnsafeMutableRawBufferPointer(rebasing: piece[..<wanted]), done) }
            }
            if count == 0 { break }
            result += piece[..<count]
        }
        return result
    }

    /// Goes on so many bytes further without writing them: a hole, which reads as zeros. `lseek(2)`
    public borrowing func skip(_ count: Int) throws(Errno) {
        let raw = raw
        try systemCall { lseek(raw, off_t(count), SEEK_CUR) }
    }

    /// Has the file end at its position, where it ended before that. `ftruncate(2)`
    public borrowing func endHere() throws(Errno) {
        let raw = raw
        try setSize(Int(try systemCall { lseek(raw, 0, SEEK_CUR) }))
    }

    /// Has the file end behind so many bytes. `ftruncate(2)`
    public borrowing func setSize(_ size: Int) throws(Errno) {
        let raw = raw
        try systemCall { ftruncate(raw, off_t(size)) }
    }

    /// Waits until the disk has what was written. `fsync(2)`
    public borrowing func synchronize() throws(Errno) {
        let raw = raw
        try systemCall { fsync(raw) }
    }

    /// Writes all of `bytes`, however many calls it takes. `write(2)`
    public borrowing func writeAll(_ bytes: RawSpan) throws(Errno) {
        var left = bytes
        while !left.isEmpty {
            let written = try left.withUnsafeBytes { bytes throws(Errno) in try write(bytes) }
            left = left.extracting(droppingFirst: written)
        }
    }
}
