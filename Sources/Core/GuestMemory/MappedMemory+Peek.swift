import Linux

extension MappedMemory {
    /// Copies guest memory for somebody who only wants to show it: no tap sees that, nothing is counted, and nobody is
    /// asked for memory that is elsewhere.
    ///
    /// - Returns: how many bytes there were, from the first on, that could be copied.
    public final func peek(at address: UInt64, into target: inout MutableRawSpan) -> Int {
        target.withUnsafeMutableBytes { buffer in
            var done = 0
            while done < buffer.count, UInt64(done) <= .max - address, let base = buffer.baseAddress,
                let window = try? window(at: address + UInt64(done), for: .read), let host = window.host
            {
                let start = address + UInt64(done)
                let piece = Int(min(UInt64(buffer.count - done - 1), window.last - start)) + 1
                // SAFETY: `start` lies in the window, and the piece ends inside it and inside the buffer. The region
                // keeps its mapping; nothing on this thread unmaps meanwhile.
                let there = host + Int(start - window.start)
                guard (try? GuardedCopy.copy(to: base + done, from: there, count: piece)) != nil else { break }
                done += piece
            }
            return done
        }
    }
}
