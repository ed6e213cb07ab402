import Foundation
import Glibc
import Linux
import Mediation
import Programs
import Testing

@Suite struct DirectoriesTests {
    /// Calls `body` with a path where nothing is.
    private func withRoot(_ body: (String) throws -> Void) throws {
        let root = temporaryPath("directories")
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

    /// Whoever owns a folder on the way can put another one in the place of what is in it.
    @Test(.enabled(if: geteuid() == 0, "Only root can give a folder away."), arguments: ["a", "a/b", "a/b/link"])
    func somebodyElsesFolderOnTheWayIsRefused(name: String) throws {
        try withRoot { root in
            try FileManager.default.createDirectory(atPath: "\(root)/a/b", withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(atPath: "\(root)/a/b/link", withDestinationPath: "../..")
            let place = "\(root)/a/b/link/mine/c"
            try Directories(root: place).make()
            #expect(lchown("\(root)/\(name)", 65534, 65534) == 0)
            #expect(throws: Errno.permissionDenied) { try Directories(root: place).make() }
            // Nothing is made there either.
            let other = "\(root)/a/b/link/mine/d"
            #expect(throws: Errno.permissionDenied) { try Directories(root: other).make() }
            #expect(!FileManager.default.fileExists(atPath: "\(root)/mine/d"))
        }
    }

    @Test func aFolderOnTheWayThatAllMayChangeIsRefusedUnlessEachOnlyTheirOwn() throws {
        try withRoot { root in
            let place = "\(root)/a/b"
            try Directories(root: place).make()
            #expect(chmod("\(root)/a", 0o777) == 0)
            #expect(throws: Errno.permissionDenied) { try Directories(root: place).make() }
            #expect(chmod("\(root)/a", 0o1777) == 0)
            try Directories(root: place).make()
        }
    }

    @Test func linksThatLeadNowhereEnd() throws {
        try withRoot { root in
            try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(atPath: "\(root)/run", withDestinationPath: "run")
            #expect(throws: Errno.tooManySymbolicLinkLevels) { try Directories(root: root).make() }
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
