import CLinux
import Glibc

extension UnixSocket {
    /// Sends what there is room for and doesn't wait. `sendmsg(2)`, `MSG_DONTWAIT`
    ///
    /// - Parameter descriptors: sent with the first of the bytes; they have gone when the result is not 0.
    /// - Returns: the number of bytes sent; 0 when there is no room now.
    /// - Throws: `.brokenPipe` or `.connectionReset` when the peer is gone.
    public borrowing func sendAvailable(_ bytes: RawSpan, descriptors: [Int32] = []) throws(Errno) -> Int {
        let sent = bytes.withUnsafeBytes { bytes in
            // SAFETY: the bytes live until the call returns.
            clinux_send(
                descriptor.raw, bytes.baseAddress, bytes.count, nil, 0, Int32(MSG_DONTWAIT), descriptors,
                descriptors.count)
        }
        if sent >= 0 { return sent }
        switch Errno(rawValue: Int32(-sent)) {
        case .interrupted, .resourceTemporarilyUnavailable: return 0
        case let error: throw error
        }
    }
}
