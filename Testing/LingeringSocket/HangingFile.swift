import Glibc
import Linux

/// A file whose every close waits, also for SIGKILL, until this object goes away: a process serves it and answers nothing.
/// `FUSE_FLUSH`
public final class HangingFile {
    private var mine: Int32 = -1
    private let folder: String
    private let server: Int32

    public var raw: Int32 { mine }

    /// - Returns: nil where this process may not mount, or there is no FUSE.
    public init?() {
        var name = Array("/tmp/hanging-XXXXXX".utf8CString)
        guard name.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else { return nil }
        folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let pair = try? UnixSocket.pair(),
            let server = try? ChildProcess.spawn(
                "/usr/bin/python3", ["-c", Self.program, folder], passing: [pair.second.descriptor.raw])
        else {
            rmdir(folder)
            return nil
        }
        self.server = server
        let socket = pair.first
        _ = consume pair.second
        // One byte when it is mounted, the end when it can't be.
        var byte: UInt8 = 0
        if recv(socket.descriptor.raw, &byte, 1, 0) == 1 { mine = open("\(folder)/file", O_RDWR | O_CLOEXEC) }
        guard mine >= 0 else { return nil }
    }

    deinit {
        kill(server, SIGKILL)
        var status: Int32 = 0
        waitpid(server, &status, 0)
        if mine >= 0 { close(mine) }
        umount2(folder, Int32(MNT_DETACH))
        rmdir(folder)
    }

    /// Speaks just enough of the kernel's protocol (`<linux/fuse.h>`) to have a file opened.
    private static let program = """
        import ctypes, os, struct, sys
        libc = ctypes.CDLL(None)
        libc.prctl(1, 9)
        device = os.open('/dev/fuse', os.O_RDWR)
        options = f'fd={device},rootmode=40000,user_id=0,group_id=0,allow_other'
        if libc.mount(b'hanging', sys.argv[1].encode(), b'fuse', 0, options.encode()): sys.exit(1)
        os.write(3, b'm')
        INIT, LOOKUP, GETATTR, OPEN = 26, 1, 3, 14
        def attributes(node):
            return struct.pack('<6Q10I', node, *[0] * 8, 0o40777 if node == 1 else 0o100666, 1, *[0] * 5)
        while True:
            _, operation, unique, node = struct.unpack_from('<IIQQ', os.read(device, 1 << 20))
            if operation == INIT: answer = struct.pack('<IIIIHHI', 7, 31, 0, 0, 12, 9, 4096).ljust(64, b'\\0')
            elif operation == LOOKUP: answer = struct.pack('<QQQQII', 2, 0, 1, 1, 0, 0) + attributes(2)
            elif operation == GETATTR: answer = struct.pack('<QII', 1, 0, 0) + attributes(node)
            elif operation == OPEN: answer = struct.pack('<QII', 7, 0, 0)
            else: continue
            os.write(device, struct.pack('<IiQ', 16 + len(answer), 0, unique) + answer)
        """
}
