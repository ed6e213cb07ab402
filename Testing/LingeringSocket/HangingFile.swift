import Glibc
import Linux

/// A file that whoever does one thing to waits for, also for SIGKILL, until ``end()`` or this object goes away: a
/// process serves its file system (FUSE), and doesn't answer that.
public final class HangingFile {
    /// What has no end.
    public enum Operation: String, Sendable {
        /// `FUSE_LOOKUP`
        case open
        /// Every close, that of the last reference or not. `FUSE_FLUSH`
        case close
    }

    public let path: String
    private let folder: String
    private let server: Int32
    /// Gets a byte when the file system is mounted, and one for each operation that isn't answered.
    private let socket: UnixSocket
    private var isServed = true

    /// Whether it can be had: where this process may mount, and the kernel has FUSE.
    public static var isPossible: Bool { HangingFile(.open) != nil }

    /// - Returns: nil where it can't be had.
    public init?(_ operation: Operation) {
        var name = Array("/tmp/hanging-XXXXXX".utf8CString)
        guard name.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else { return nil }
        folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = "\(folder)/file"
        guard let pair = try? UnixSocket.pair(),
            let server = try? ChildProcess.spawn(
                "/usr/bin/python3", ["-c", Self.program, folder, operation.rawValue],
                passing: [pair.second.descriptor.raw])
        else {
            rmdir(folder)
            return nil
        }
        self.server = server
        socket = pair.first
        _ = consume pair.second
        guard awaitByte() else { return nil }
    }

    deinit {
        end()
        rmdir(folder)
    }

    /// Waits until somebody waits for it.
    ///
    /// - Returns: false when the file system has ended.
    public func awaitOperation() -> Bool { awaitByte() }

    private func awaitByte() -> Bool { (try? socket.descriptor.readBytes(upTo: 1).count) == 1 }

    /// Lets go whoever waits, with an error.
    public func end() {
        guard isServed else { return }
        isServed = false
        ChildProcess.end(server)
        umount2(folder, Int32(MNT_DETACH))
    }

    /// Speaks just enough of the kernel's protocol (`<linux/fuse.h>`) to have a file opened.
    private static let program = """
        import ctypes, os, struct, sys
        folder, missing = sys.argv[1:]
        libc = ctypes.CDLL(None)
        libc.prctl(1, 9)
        device = os.open('/dev/fuse', os.O_RDWR)
        options = f'fd={device},rootmode=40000,user_id=0,group_id=0,allow_other'
        if libc.mount(b'hanging', folder.encode(), b'fuse', 0, options.encode()): sys.exit(1)
        os.write(3, b'm')
        INIT, LOOKUP, GETATTR, OPEN = 26, 1, 3, 14
        def attributes(node):
            return struct.pack('<6Q10I', node, *[0] * 8, 0o40777 if node == 1 else 0o100666, 1, *[0] * 5)
        while True:
            _, operation, unique, node = struct.unpack_from('<IIQQ', os.read(device, 1 << 20))
            if operation == INIT: answer = struct.pack('<IIIIHHI', 7, 31, 0, 0, 12, 9, 4096).ljust(64, b'\\0')
            elif operation == LOOKUP and missing != 'open':
                answer = struct.pack('<QQQQII', 2, 0, 1, 1, 0, 0) + attributes(2)
            elif operation == GETATTR: answer = struct.pack('<QII', 1, 0, 0) + attributes(node)
            elif operation == OPEN: answer = struct.pack('<QII', 7, 0, 0)
            else:
                os.write(3, b'w')
                continue
            os.write(device, struct.pack('<IiQ', 16 + len(answer), 0, unique) + answer)
        """
}
