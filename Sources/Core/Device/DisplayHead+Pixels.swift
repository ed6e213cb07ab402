import Linux

extension DisplayHead {
    /// What the head shows, with its cursor, as bytes: blue, green, red, and one that says nothing. Line after line.
    ///
    /// - Returns: nil while it shows nothing, and of more than 4096 by 4096 pixels, which would take too long.
    /// - Throws: what the system says when there is no memory.
    public func pixels() throws(Errno) -> (width: Int, height: Int, bytes: [UInt8])? {
        guard let scanout else { return nil }
        let count = scanout.width * scanout.height * 4
        guard count > 0, count <= 4096 * 4096 * 4 else { return nil }
        let memory = try MemoryFile(name: "picture", size: count)
        scanout.copy(0..<scanout.height, with: cursor, to: memory)
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        memory.copy(at: 0, count: count, into: &raw)
        for index in stride(from: 3, to: count, by: 4) { bytes[index] = 0 }
        return (scanout.width, scanout.height, bytes)
    }
}
