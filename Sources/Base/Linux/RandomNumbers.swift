import CLinux

/// The kernel's random numbers. `getrandom(2)`
public enum RandomNumbers {
    /// Fills `bytes`. Waits where the kernel has not gathered enough yet, early in its boot.
    ///
    /// - Throws: what the system says when it gives none, as in a sandbox that forbids it.
    @_lifetime(bytes: copy bytes)
    public static func fill(_ bytes: inout MutableRawSpan) throws(Errno) {
        // SAFETY: the kernel writes so many bytes and no more.
        try bytes.withUnsafeMutableBytes { buffer throws(Errno) in
            var done = 0
            while done < buffer.count, let base = buffer.baseAddress {
                do throws(Errno) {
                    done += try shim(clinux_random(base + done, buffer.count - done))
                } catch {
                    guard error == .interrupted else { throw error }
                }
            }
        }
    }
}
