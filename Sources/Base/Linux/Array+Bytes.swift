extension [UInt8] {
    /// Appends bytes, and takes more memory only where the array has no room for them.
    public mutating func append(_ bytes: RawSpan) {
        // SAFETY: the bytes are used during the call only.
        bytes.withUnsafeBytes { append(contentsOf: $0) }
    }
}
