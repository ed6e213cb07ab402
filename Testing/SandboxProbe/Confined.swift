import CLinux
import CSystemCall
import Glibc
import Linux

/// Attempts inside the sandbox. Each makes ready what it needs, and returns what is tried when the process is confined.
enum Confined {
    static var attempts: [String: () throws -> SandboxProbe.Attempt] {
        [forbidden, deadly, limited, possible].reduce(into: [:]) { all, some in all.merge(some) { $1 } }
    }

    // MARK: What fails

    private static var forbidden: [String: () throws -> SandboxProbe.Attempt] {
        [
            "read-file": now { () throws(Errno) in
                _ = try Descriptor(reading: "/etc/passwd")
                return nil
            },
            "read-file-openat2": now { () throws(Errno) in
                try call(
                    __NR_openat2, Int(AT_FDCWD), address(of: "/etc/passwd"), address(of: [UInt64(O_RDONLY), 0, 0]), 24)
            },
            "create-file": now { () throws(Errno) in
                try call(
                    __NR_openat, Int(AT_FDCWD), address(of: "/tmp/sandbox-probe-\(getpid())"), Int(O_CREAT | O_WRONLY),
                    0o600)
            },
            "own-memory": now { () throws(Errno) in
                try call(__NR_openat, Int(AT_FDCWD), address(of: "/proc/self/mem"), Int(O_RDWR))
            },
            "file-status": now { () throws(Errno) in
                let room = [UInt64](repeating: 0, count: 32)
                return try call(__NR_newfstatat, Int(AT_FDCWD), address(of: "/etc/passwd"), address(of: room))
            },
            "remove-file": now { () throws(Errno) in
                try call(__NR_unlinkat, Int(AT_FDCWD), address(of: "/tmp/sandbox-probe-nothing"))
            },
            "truncate-file": now { () throws(Errno) in try call(__NR_truncate, address(of: "/etc/passwd"), 1 << 40) },
            "change-folder": now { () throws(Errno) in try call(__NR_chdir, address(of: "/")) },

            "socket-inet": now { () throws(Errno) in try call(__NR_socket, Int(AF_INET), Int(SOCK_STREAM.rawValue)) },
            "socket-inet6": now { () throws(Errno) in try call(__NR_socket, Int(AF_INET6), Int(SOCK_DGRAM.rawValue)) },
            "socket-netlink": now { () throws(Errno) in try call(__NR_socket, Int(AF_NETLINK), Int(SOCK_RAW.rawValue))
            },
            "socket-unix": now { () throws(Errno) in try call(__NR_socket, Int(AF_UNIX), Int(SOCK_STREAM.rawValue)) },
            "socket-pair-inet": now { () throws(Errno) in
                try call(__NR_socketpair, Int(AF_INET), Int(SOCK_STREAM.rawValue), 0, address(of: [0]))
            },
            // One that could send to any path.
            "socket-pair-datagrams": now { () throws(Errno) in
                try call(__NR_socketpair, Int(AF_UNIX), Int(SOCK_DGRAM.rawValue), 0, address(of: [0]))
            },
            "connect": {
                let socket = try call(__NR_socket, Int(AF_UNIX), Int(SOCK_STREAM.rawValue))
                return { () throws(Errno) in
                    // The family, and a path that is not there.
                    try call(__NR_connect, socket, address(of: [UInt64(AF_UNIX) | 0x2f << 16]), 4)
                }
            },

            "fork": now { () throws(Errno) in try call(__NR_clone, Int(SIGCHLD)) },
            "fork-clone3": now { () throws(Errno) in
                try call(__NR_clone3, address(of: [0, 0, 0, 0, UInt64(SIGCHLD), 0, 0, 0]), 64)
            },
            "thread": now { () throws(Errno) in
                try Thread(name: "another") {}.join()
                return nil
            },
            "signal-parent": now { () throws(Errno) in try call(__NR_kill, Int(getppid()), 0) },
            "signal-parent-thread": now { () throws(Errno) in try call(__NR_tgkill, Int(getppid()), Int(getppid()), 0)
            },
            "signal-by-descriptor": {
                let parent = try call(__NR_pidfd_open, Int(getppid()))
                return { () throws(Errno) in try call(__NR_pidfd_send_signal, parent) }
            },
            "signal-by-owner": {
                let socket = try call(__NR_socket, Int(AF_UNIX), Int(SOCK_STREAM.rawValue))
                return { () throws(Errno) in try call(__NR_fcntl, socket, Int(F_SETOWN), Int(getppid())) }
            },

            "map-executable": now { () throws(Errno) in
                try call(
                    __NR_mmap, 0, 4096, Int(PROT_READ | PROT_EXEC), Int(MAP_PRIVATE | MAP_ANONYMOUS), -1)
            },
            "map-file-executable": {
                let file = try MemoryFile(name: "code", size: 4096)
                return { () throws(Errno) in
                    try call(
                        __NR_mmap, 0, 4096, Int(PROT_READ | PROT_EXEC), Int(MAP_SHARED), Int(file.descriptor.raw))
                }
            },
            "make-executable": {
                let file = try MemoryFile(name: "code", size: 4096)
                return { () throws(Errno) in
                    try call(__NR_mprotect, Int(bitPattern: file.mapping.base), 4096, Int(PROT_READ | PROT_EXEC))
                }
            },
            "make-executable-by-key": {
                let file = try MemoryFile(name: "code", size: 4096)
                return { () throws(Errno) in
                    try call(__NR_pkey_mprotect, Int(bitPattern: file.mapping.base), 4096, Int(PROT_EXEC), -1)
                }
            },
            "executable-file-in-memory": now { () throws(Errno) in
                try call(__NR_memfd_create, address(of: "code"), 0x10)
            },

            "become-root": now { () throws(Errno) in try call(__NR_setuid, 0) },
            "become-root-fully": now { () throws(Errno) in try call(__NR_setresuid, 0, 0, 0) },
            "raise-limit": now { () throws(Errno) in
                try call(__NR_prlimit64, 0, Int(RLIMIT_NOFILE.rawValue), address(of: [2048, 2048]))
            },
            // PR_SET_DUMPABLE
            "trace-again": now { () throws(Errno) in try call(__NR_prctl, 4, 1) },
            "control-terminal": now { () throws(Errno) in
                try call(__NR_ioctl, 0, Int(TIOCSTI), address(of: "\n"))
            },
        ]
    }

    // MARK: What ends the process

    private static var deadly: [String: () throws -> SandboxProbe.Attempt] {
        [
            "exec": now { () throws(Errno) in try call(__NR_execve, address(of: "/bin/true")) },
            "exec-descriptor": {
                let file = try MemoryFile(name: "program", size: 4096)
                return { () throws(Errno) in
                    try call(__NR_execveat, Int(file.descriptor.raw), address(of: ""), 0, 0, 0x1000)
                }
            },
            "trace": now { () throws(Errno) in try call(__NR_ptrace, 0) },
            "read-process": now { () throws(Errno) in try call(__NR_process_vm_readv, Int(getppid())) },
            "take-descriptor": {
                let parent = try call(__NR_pidfd_open, Int(getppid()))
                return { () throws(Errno) in try call(__NR_pidfd_getfd, parent, 0, 0) }
            },
            "kernel-program": now { () throws(Errno) in try call(__NR_bpf, 0, 0, 0) },
            "kernel-ring": now { () throws(Errno) in try call(__NR_io_uring_setup, 8, 0) },
            "mount": now { () throws(Errno) in try call(__NR_mount, 0, address(of: "/tmp")) },
            "new-namespaces": now { () throws(Errno) in try call(__NR_unshare, 0x1000_0000) },
            "personality": now { () throws(Errno) in try call(__NR_personality, 0x0040_0000) },
            "call-of-32-bit-programs": now { () throws(Errno) in csystemcall_32bit() },
            "call-of-x32-programs": now { () throws(Errno) in try call(0x4000_0000 | __NR_getpid) },
            // Not the sandbox's doing: a crash stays what it is.
            "abort": now { () throws(Errno) in abort() },
        ]
    }

    // MARK: What has a limit

    private static var limited: [String: () throws -> SandboxProbe.Attempt] {
        [
            "memory-at-once": now { () throws(Errno) in
                try call(
                    __NR_mmap, 0, 65 << 20, Int(PROT_READ | PROT_WRITE), Int(MAP_PRIVATE | MAP_ANONYMOUS), -1)
            },
            "memory-by-malloc": now { () throws(Errno) in
                guard malloc(65 << 20) != nil else { throw Errno(rawValue: errno) }
                return nil
            },
            // How many pieces of 1 MiB there are.
            "memory-in-pieces": now { () throws(Errno) in
                var pieces = 0
                while pieces < 1000, malloc(1 << 20) != nil { pieces += 1 }
                return pieces
            },
            "file-too-long": now { () throws(Errno) in
                _ = try MemoryFile(name: "long", size: (1 << 30) + 1)
                return nil
            },
            "descriptors": now { () throws(Errno) in
                // How many are open when there are no more.
                var highest = 0
                while true {
                    let next = csystemcall(Int(__NR_eventfd2), 0, 0, 0, 0, 0, 0)
                    guard next >= 0 else { break }
                    highest = next
                }
                return highest + 1
            },
            "one-descriptor-too-many": now { () throws(Errno) in
                while true { try call(__NR_eventfd2) }
            },
        ]
    }

    // MARK: What must work

    private static var possible: [String: () throws -> SandboxProbe.Attempt] {
        [
            "memory-file": now { () throws(Errno) in
                // As large as a display's may be.
                let file = try MemoryFile(name: "memory", size: 256 << 20)
                file.replace(at: (256 << 20) - 4, with: ([1, 2, 3, 4] as [UInt8]).span.bytes)
                let extents = try file.dataExtents().count
                try file.clear()
                return extents
            },
            "sealed-file": now { () throws(Errno) in
                _ = try MemoryFile(name: "memory", size: 4096, isOwnAlone: true)
                return nil
            },
            "received-file": {
                let pair = Once(try UnixSocket.pair())
                let file = try MemoryFile(name: "guest RAM", size: 4096)
                file.replace(at: 100, with: ([42] as [UInt8]).span.bytes)
                try pair.value.first.send(([0] as [UInt8]).span.bytes, descriptors: [file.descriptor.raw])
                let buffer = try PageBuffer(count: 4096)
                return { () throws(Errno) in
                    var received = ReceivedDescriptors()
                    _ = try pair.value.second.receive(into: buffer, from: 0, descriptors: &received, blocking: true)
                    guard let descriptor = received.take(0) else { return nil }
                    let size = try descriptor.status().size
                    let mapping = try Mapping(of: descriptor, size: Int(size))
                    return Int(mapping.base.load(fromByteOffset: 100, as: UInt8.self))
                }
            },
            "eventfd": now { () throws(Errno) in
                let event = try EventFD()
                event.signal()
                event.signal()
                return Int(event.consume())
            },
            // /proc/self/fd tells what a descriptor is.
            "received-eventfd": now { () throws(Errno) in
                let event = try EventFD(adopting: try EventFD().descriptor.duplicate())
                event.signal()
                return Int(event.wait(within: nil))
            },
            "received-no-eventfd": now { () throws(Errno) in
                _ = try EventFD(adopting: try TimerFD().descriptor.duplicate())
                return nil
            },
            "connection": {
                let path = "/tmp/sandbox-probe-\(getpid())-socket"
                let listener = try UnixListener(path: path)
                let client = Once(try UnixSocket(connectingTo: path))
                unlink(path)
                return { () throws(Errno) in
                    guard let socket = try listener.accept() else { return nil }
                    try client.value.send(([7] as [UInt8]).span.bytes)
                    let buffer = try PageBuffer(count: 4096)
                    var received = ReceivedDescriptors()
                    guard
                        case .bytes(let count, _, _) = try socket.receive(
                            into: buffer, from: 0, descriptors: &received, blocking: true)
                    else { return nil }
                    return count + Int(try socket.peer().pid == getpid() ? 10 : 0)
                }
            },
            "socket-pair": now { () throws(Errno) in
                _ = try UnixSocket.pair(keepsPackets: true)
                return nil
            },
            "clock": now { () throws(Errno) in
                let before = ContinuousClock.now
                return try call(__NR_clock_gettime, Int(CLOCK_MONOTONIC), address(of: [0, 0]))
                    + (ContinuousClock.now >= before ? 0 : 1)
            },
            "hashing": now { () throws(Errno) in Set((0..<1000).map(String.init)).count },
            "random-numbers": now { () throws(Errno) in
                var numbers = [UInt64](repeating: 0, count: 8)
                var span = numbers.mutableSpan
                var bytes = span.mutableBytes
                try RandomNumbers.fill(&bytes)
                // Two that are equal, or one that is 0, come once in 2^58 attempts.
                return Set(numbers).subtracting([0]).count
            },
            // A file that is cut off under a mapping is an error of the copy, not the end of the process.
            "cut-off-file": {
                GuardedCopy.install()
                let raw = Int32(try call(__NR_memfd_create, address(of: "cut"), Int(MFD_CLOEXEC)))
                return { () throws(Errno) in
                    let file = Descriptor(owning: raw)
                    try call(__NR_ftruncate, Int(raw), 4096)
                    let mapping = try Mapping(of: file, size: 4096)
                    try call(__NR_ftruncate, Int(raw), 0)
                    var failures = 0
                    for _ in 0..<2 {
                        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { bytes in
                            do throws(Errno) {
                                try GuardedCopy.copy(to: bytes.baseAddress!, from: mapping.base, count: 64)
                            } catch {
                                failures += error == .badAddress ? 1 : 100
                            }
                        }
                    }
                    return failures
                }
            },
        ]
    }

    /// An attempt that needs nothing.
    private static func now(_ attempt: @escaping SandboxProbe.Attempt) -> () throws -> SandboxProbe.Attempt {
        { attempt }
    }

    /// Something that can't be copied, for a closure that is called once.
    private final class Once<Value: ~Copyable> {
        let value: Value
        init(_ value: consuming Value) { self.value = value }
    }
}
