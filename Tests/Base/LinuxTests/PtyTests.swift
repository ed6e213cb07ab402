import Foundation
import Glibc
import Linux
import Testing

@Suite struct PtyTests {
    @Test func itIsInUseWhileSomebodyHasItOpen() throws {
        let pty = try Pty()
        #expect(!pty.isInUse)
        let slave = try #require(FileHandle(forUpdatingAtPath: pty.path))
        #expect(pty.isInUse)
        try slave.close()
        #expect(!pty.isInUse)
    }

    @Test func openingsAreTold() throws {
        let pty = try Pty()
        let loop = try EventLoop()
        var openings = 0
        let token = try loop.watch("openings", pty.openings, for: .readable) { _ in
            openings += 1
            pty.consumeOpenings()
        }
        try loop.dispatch(within: .zero)
        #expect(openings == 0)
        let slave = try #require(FileHandle(forUpdatingAtPath: pty.path))
        for _ in 0..<2 { try loop.dispatch(within: .zero) }
        #expect(openings == 1)
        try slave.close()
        loop.unwatch(token)
    }

    private let link = FileManager.default.temporaryDirectory.appendingPathComponent("pty-\(UUID().uuidString)").path

    @Test func aLinkThatAnotherHasIsNotTaken() throws {
        let first = try Pty(link: link)
        #expect(throws: Errno.addressInUse) { try Pty(link: link) }
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == first.path)
    }

    @Test func aLinkWhoseTerminalIsGoneIsReplaced() throws {
        // No terminal gets such a number.
        #expect(symlink("/dev/pts/99999999", link) == 0)
        let pty = try Pty(link: link)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == pty.path)
    }

    @Test func aLinkWhoseTerminalsNumberHasGoneToAnotherIsReplaced() throws {
        let path = try leaveLink()
        // The lowest number that is free is given next; and the clock of files goes in steps.
        var others: [Pty] = []
        for _ in 0..<10_000 {
            let other = try Pty()
            if other.path != path, others.count < 64 { others.append(other) }
            if other.path == path, try isYounger(path, than: link) {
                others.append(other)
                break
            }
        }
        let pty = try Pty(link: link)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == pty.path)
        withExtendedLifetime(others) {}
    }

    /// - Returns: where it leads: to a terminal that is gone.
    private func leaveLink() throws -> String {
        let pty = try Pty()
        #expect(symlink(pty.path, link) == 0)
        return pty.path
    }

    private func isYounger(_ path: String, than other: String) throws -> Bool {
        var (one, two) = (stat(), stat())
        try #require(lstat(path, &one) == 0 && lstat(other, &two) == 0)
        return (one.st_ctim.tv_sec, one.st_ctim.tv_nsec) > (two.st_ctim.tv_sec, two.st_ctim.tv_nsec)
    }
}
