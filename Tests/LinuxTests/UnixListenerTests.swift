import Glibc
import Linux
import Synchronization
import Testing

@Suite struct UnixListenerTests {
    private let path = "/tmp/listener-\(getpid())-\(UInt32.random(in: 0 ... .max))"

    /// A socket file that nobody listens to any more.
    private func leaveDeadSocket() throws {
        do {
            let listener = try UnixListener(path: path)
            // Its own name goes with it; a second one stays.
            #expect(link(listener.path, path + "~") == 0)
        }
        #expect(rename(path + "~", path) == 0)
    }

    @Test func aDeadSocketIsReplacedByOneOfThoseWhoTry() throws {
        for _ in 0..<50 {
            try leaveDeadSocket()
            let made = Mutex<[UnixListener]>([])
            let threads = try (0..<4).map { _ in
                try Thread(name: "listener") { [path] in
                    guard let listener = try? UnixListener(path: path) else { return }
                    made.withLock { $0.append(listener) }
                }
            }
            for thread in threads { thread.join() }
            #expect(made.withLock { $0.count } == 1)
            _ = try UnixSocket(connectingTo: path, milliseconds: 1000)
            #expect(try made.withLock { $0.first }?.accept() != nil)
        }
        #expect(access(path, F_OK) == -1)
    }

    @Test func aFolderThatOthersLockIsNoObstacle() throws {
        let folder = path + ".d"
        mkdir(folder, 0o700)
        defer { rmdir(folder) }
        let lock = try Descriptor(reading: folder)
        #expect(flock(lock.raw, LOCK_EX) == 0)
        let listener = try UnixListener(path: folder + "/socket")
        _ = try UnixSocket(connectingTo: listener.path, milliseconds: 1000)
    }
}
