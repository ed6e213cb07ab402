import CLinux
import Glibc

extension UnixSocket {
    /// Sends one datagram to the socket at `path`. `sendto(2)`
    ///
    /// - Throws: `.resourceTemporarilyUnavailable` when there is no room.
    public static func sendDatagram(_ bytes: [UInt8], to path: String) throws(Errno) {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = Descriptor(owning: try systemCall { socket(AF_UNIX, type, 0) })
        let raw = descriptor.raw
        try withSocketAddress(of: path) { address, size throws(Errno) in
            try systemCall { sendto(raw, bytes, bytes.count, Int32(MSG_NOSIGNAL), address, size) }
        }
    }
}
