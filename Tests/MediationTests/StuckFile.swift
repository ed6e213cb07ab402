import Foundation
import Glibc
import Linux
import Testing

/// A file that whoever opens it waits for, in the kernel, and can't be killed meanwhile: of a file system that nobody answers for
/// (FUSE).
final class StuckFile {
    let path: String
    private let folder: String
    private let server = Process()
    private let output = Pipe()

    static var isPossible: Bool { geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 }

    init() throws {
        folder = "/tmp/stuck-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        path = "\(folder)/file"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        // It answers FUSE_INIT, and nothing after that. <linux/fuse.h>
        let program = """
            import ctypes, os, struct, sys
            fuse = os.open("/dev/fuse", os.O_RDWR)
            options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.mount(b"stuck", sys.argv[1].encode(), b"fuse", 0, options):
                sys.exit(os.strerror(ctypes.get_errno()))
            print("mounted", flush=True)
            while request := os.read(fuse, 1 << 20):
                _, opcode, unique = struct.unpack_from("<IIQ", request)
                if opcode == 26:
                    os.write(fuse, struct.pack("<IiQ", 80, 0, unique) + struct.pack("<16I", 7, 31, *[0] * 14))
                else:
                    print("waiting", flush=True)
            """
        server.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        server.arguments = ["-c", program, folder]
        server.standardOutput = output
        try server.run()
        try awaitWord("mounted")
    }

    deinit {
        end()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Waits until somebody has begun to open it.
    func awaitReader() throws { try awaitWord("waiting") }

    private func awaitWord(_ word: String) throws {
        var text = ""
        while !text.contains(word) {
            let more = output.fileHandleForReading.availableData
            try #require(!more.isEmpty, "The file system has ended.")
            text += String(decoding: more, as: UTF8.self)
        }
    }

    /// Lets go whoever waits, with an error.
    func end() {
        guard server.isRunning else { return }
        kill(server.processIdentifier, SIGKILL)
        server.waitUntilExit()
        umount2(folder, Int32(MNT_DETACH))
    }
}
