import Glibc
import Linux

/// A socket whose last close takes an hour, unless it is let go before: what it has to send has gone to nobody, and it
/// is to wait for that. `SO_LINGER`
public final class LingeringSocket: @unchecked Sendable {
    private var mine: Int32
    private let theirs: Int32

    public var raw: Int32 { mine }

    public init() throws(Errno) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        Self.set(listener, SO_RCVBUF, Int32(4096))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        mine = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        let connecting = mine
        // SAFETY: sockaddr_in begins with the fields of sockaddr, as the socket calls define it.
        let isConnected = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, address, &size) == 0 && connect(connecting, address, size) == 0
            }
        }
        let error = Errno(rawValue: errno)
        theirs = isConnected ? accept(listener, nil, nil) : -1
        guard isConnected else { throw error }
        Self.set(mine, SO_SNDBUF, Int32(4096))
        Self.set(mine, SO_LINGER, linger(l_onoff: 1, l_linger: 3600))
        // Resets the connection when it is closed, which ends the other's wait.
        Self.set(theirs, SO_LINGER, linger(l_onoff: 1, l_linger: 0))
        let bytes = [UInt8](repeating: 0, count: 1 << 16)
        while send(mine, bytes, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)) > 0 {}
    }

    /// Gives this process's own descriptor away: whoever gets its number closes it.
    public func relinquish() -> Int32 {
        defer { mine = -1 }
        return mine
    }

    /// Closes this process's own descriptor, when another has been sent that nobody can have received yet.
    public func handOver() {
        close(relinquish())
    }

    /// As ``handOver()``, also when the other has been received, and perhaps closed: the last close is the one that
    /// hangs, so it is made aside.
    public func handOverAside() {
        let raw = relinquish()
        _ = try? Thread(name: "hand over") { close(raw) }
    }

    deinit {
        close(theirs)
        if mine >= 0 { close(mine) }
    }

    private static func set<Value: BitwiseCopyable>(_ socket: Int32, _ option: Int32, _ value: Value) {
        var value = value
        setsockopt(socket, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<Value>.size))
    }
}
