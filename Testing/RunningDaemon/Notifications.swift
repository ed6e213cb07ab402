import Glibc
import Linux

/// What a service says to systemd. `sd_notify(3)`
public struct Notifications: ~Copyable {
    public let path: String
    public let descriptor: Descriptor

    /// - Parameter path: of the socket, which must not be there.
    public init(path: String) throws {
        self.path = path
        descriptor = Descriptor(owning: socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
        let raw = descriptor.raw
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0 else { throw Errno(rawValue: errno) }
    }

    deinit { unlink(path) }

    /// The next one; "" when none comes.
    public func next() throws -> String {
        guard try waitReadable([descriptor.raw], within: .seconds(60)).first == true else { return "" }
        return String(decoding: try descriptor.readOnce(upTo: 4096), as: UTF8.self)
    }
}
