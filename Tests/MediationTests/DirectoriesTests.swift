import Foundation
import Glibc
import Linux
import Mediation
import Testing

@Suite struct DirectoriesTests {
    /// Calls `body` with a path where nothing is.
    private func withRoot(_ body: (String) throws -> Void) throws {
        let root = "/tmp/directories-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: root) }
        try body(root)
    }

    private func mode(of path: String) throws -> mode_t {
        var status = stat()
        try #require(stat(path, &status) == 0)
        return status.st_mode & 0o777
    }

    @Test func foldersAreMadeWithThoseAboveThemAndTwiceIsOnce() throws {
        try withRoot { root in
            for _ in 0..<2 {
                try Directories(root: "\(root)/a/b").make()
                #expect(try mode(of: "\(root)/a/b") == 0o755)
                #expect(try mode(of: "\(root)/a/b/run/vgpu") == 0o711)
                #expect(try mode(of: "\(root)/a/b/run/control") == 0o700)
                #expect(try mode(of: "\(root)/a/b/state/vgpu") == 0o700)
            }
        }
    }

    @Test(arguments: ["run", "run/control", "state", "log"])
    func aFolderThatOthersMayChangeIsRefused(name: String) throws {
        try withRoot { root in
            try Directories(root: root).make()
            #expect(chmod("\(root)/\(name)", 0o777) == 0)
            #expect(throws: Errno.permissionDenied) { try Directories(root: root).make() }
        }
    }

    @Test(.enabled(if: geteuid() == 0, "Only root can give a folder away."))
    func aFolderOfSomebodyElseIsRefused() throws {
        try withRoot { root in
            try Directories(root: root).make()
            #expect(chown("\(root)/state", 65534, 65534) == 0)
            #expect(throws: Errno.permissionDenied) { try Directories(root: root).make() }
        }
    }

    @Test func whatIsNoFolderIsRefused() throws {
        try withRoot { root in
            try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
            try #require(FileManager.default.createFile(atPath: "\(root)/run", contents: nil))
            #expect(throws: Errno.notDirectory) { try Directories(root: root).make() }
        }
    }
}
