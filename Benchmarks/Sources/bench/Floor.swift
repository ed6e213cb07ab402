import CFloor
import Glibc
import Linux

/// What an exchange costs with nothing of ours in it: a process in C that receives and sends the same sizes.
final class Floor: Answering {
    let socket: Int32
    let process: pid_t

    /// - Parameters:
    ///   - steps: how many bytes get a reply, and how long it is; in turn.
    ///   - kind: how it waits.
    init(_ steps: [step], _ kind: floor_kind) throws {
        var socket: Int32 = -1
        process = floor_start(steps, steps.count, kind, &socket)
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

/// What answers an exchange.
protocol Answering {
    var process: pid_t { get }
    var socket: Int32 { get }
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
