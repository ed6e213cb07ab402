import Glibc
import Linux

/// What systemd and its services say to each other. `sd_listen_fds(3)`, `sd_notify(3)`
enum ServiceManager {
    /// The listening socket that was passed, if one was passed to this process. `LISTEN_PID`, `LISTEN_FDS`
    static func takeListener() -> Descriptor? {
        defer { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) } }
        func number(_ name: String) -> Int32? { getenv(name).flatMap { Int32(String(cString: $0)) } }
        guard number("LISTEN_PID") == getpid(), let count = number("LISTEN_FDS"), count > 0 else { return nil }
        return Descriptor(owning: ChildProcess.firstDescriptor)
    }

    /// Tells the service manager of a change, such as `READY=1`; nobody is told where there is none. `NOTIFY_SOCKET`
    static func notify(_ state: String) {
        guard let path = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }), !path.isEmpty else { return }
        try? UnixSocket.sendDatagram(Array(state.utf8), to: path)
    }
}
