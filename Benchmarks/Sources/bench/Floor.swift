import CFloor
import Glibc
import Linux

/// What an exchange costs with nothing of ours in it: a process in C that receives and sends the same sizes.
final class Floor {
    let socket: Int32
    let process: pid_t

    /// - Parameters:
    ///   - requestSize: how many bytes get a reply.
    ///   - isPolling: it never sleeps.
    init(requestSize: Int, replySize: Int, isPolling: Bool = false) throws {
        var socket: Int32 = -1
        process = floor_start(requestSize, replySize, isPolling ? 1 : 0, &socket)
        guard process > 0 else { throw Errno(rawValue: -process) }
        self.socket = socket
    }

    deinit {
        close(socket)
        waitpid(process, nil, 0)
    }

    /// Lets this process run everywhere again.
    static func unpin() {
        floor_pin(getpid(), -1)
    }

    /// Lets this process run on one processor and the floor on another, or the same.
    func pin(_ processors: (client: Int32, server: Int32)) {
        floor_pin(getpid(), processors.client)
        floor_pin(process, processors.server)
    }
}

/// Where the two sides of an exchange run.
enum Place: CaseIterable {
    case oneProcessor, twoProcessors

    var processors: (client: Int32, server: Int32) { self == .oneProcessor ? (0, 0) : (0, 1) }
    var name: String { self == .oneProcessor ? "one processor" : "two processors" }
}

/// Nanoseconds on a clock that only goes forward.
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}
