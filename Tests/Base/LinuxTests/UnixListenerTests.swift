import Glibc
import Linux
import Programs
import Synchronization
import Testing

@Suite struct UnixListenerTests {
    private let path = temporaryPath("listener")

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
            _ = try UnixSocket(connectingTo: path, within: .seconds(1))
            #expect(try made.withLock { $0.first }?.accept() != nil)
        }
        #expect(access(path, F_OK) == -1)
    }

    @Test func whoeverSeesTheSocketCanConnect() throws {
        let isEnded = Atomic<Bool>(false)
        let errors = Mutex<Set<Errno>>([])
        let client = try Thread(name: "client") { [path] in
            while !isEnded.load(ordering: .relaxed) {
                do throws(Errno) { _ = try UnixSocket(connectingTo: path, within: .seconds(1)) } catch {
                    errors.withLock { _ = $0.insert(error) }
                }
            }
        }
        for _ in 0..<200 {
            let listener = try UnixListener(path: path, backlog: 4096, leavesPath: true)
            // Gone before nobody listens any more.
            #expect(unlink(listener.path) == 0)
        }
        isEnded.store(true, ordering: .relaxed)
        client.join()
        #expect(errors.withLock { $0 }.subtracting([.noSuchFileOrDirectory]) == [])
    }

    /// Whoever may write to the folder puts links where the socket is made, and where it is to be.
    @Test func nothingIsDoneToWhatALinkLeadsTo() throws {
        let other = path + ".other"
        close(open(other, O_WRONLY | O_CREAT, 0o600))
        defer { unlink(other) }
        let isEnded = Atomic<Bool>(false)
        let attacker = try Thread(name: "attacker") { [path] in
            while !isEnded.load(ordering: .relaxed) {
                for place in [path.dropLast() + "~", path[...]] {
                    unlink(String(place))
                    symlink(other, String(place))
                    unlink(String(place))
                }
            }
        }
        for _ in 0..<500 {
            let listener = try? UnixListener(path: path, mode: 0o666)
            try? listener?.setAccess(mode: 0o644)
        }
        isEnded.store(true, ordering: .relaxed)
        attacker.join()
        var status = stat()
        #expect(lstat(other, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }

    @Test func accessIsGivenToItsOwnSocketOnly() throws {
        let listener = try UnixListener(path: path)
        try listener.setAccess(mode: 0o640)
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o640)
        let other = path + ".other"
        close(open(other, O_WRONLY | O_CREAT, 0o600))
        #expect(rename(other, path) == 0)
        defer { unlink(path) }
        #expect(throws: Errno.noSuchFileOrDirectory) { try listener.setAccess(mode: 0o666) }
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }

    @Test func aFolderThatOthersLockIsNoObstacle() throws {
        let folder = path + ".d"
        mkdir(folder, 0o700)
        defer { rmdir(folder) }
        let lock = try Descriptor(reading: folder)
        #expect(flock(lock.raw, LOCK_EX) == 0)
        let listener = try UnixListener(path: folder + "/socket")
        _ = try UnixSocket(connectingTo: listener.path, within: .seconds(1))
    }
}
