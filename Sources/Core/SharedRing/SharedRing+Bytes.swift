/// The contents of a ring whose positions count bytes. What reaches its end goes on at its beginning.
extension SharedRing {
    /// Copies bytes into the contents. There must be room for them.
    ///
    /// - Parameters:
    ///   - position: where they go, as a cursor counts.
    ///   - capacity: of the ring, in bytes: a power of two.
    public func store(_ bytes: RawSpan, at position: UInt32, of capacity: UInt32) {
        precondition(bytes.byteCount <= Int(capacity))
        let start = Int(position & (capacity - 1))
        let first = min(bytes.byteCount, Int(capacity) - start)
        // SAFETY: both parts end inside the contents, which the ring was made or adopted with.
        bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            (contents + start).copyMemory(from: base, byteCount: first)
            contents.copyMemory(from: base + first, byteCount: bytes.count - first)
        }
    }

    /// Copies bytes out of the contents, as many as `target` has.
    ///
    /// - Parameters:
    ///   - position: where they are, as a cursor counts.
    ///   - capacity: of the ring, in bytes: a power of two.
    public func load(into target: inout MutableRawSpan, at position: UInt32, of capacity: UInt32) {
        precondition(target.byteCount <= Int(capacity))
        let start = Int(position & (capacity - 1))
        let first = min(target.byteCount, Int(capacity) - start)
        // SAFETY: as above.
        target.withUnsafeMutableBytes { target in
            guard let base = target.baseAddress else { return }
            base.copyMemory(from: contents + start, byteCount: first)
            (base + first).copyMemory(from: contents, byteCount: target.count - first)
        }
    }
}
