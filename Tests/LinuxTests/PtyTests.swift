import Foundation
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
        let token = try loop.watch(pty.openings, for: .readable) { _ in
            openings += 1
            pty.consumeOpenings()
        }
        try loop.dispatch(milliseconds: 0)
        #expect(openings == 0)
        let slave = try #require(FileHandle(forUpdatingAtPath: pty.path))
        for _ in 0..<2 { try loop.dispatch(milliseconds: 0) }
        #expect(openings == 1)
        try slave.close()
        loop.unwatch(token)
    }

    @Test func aLinkThatIsThereIsReplacedAndAnothersIsLeft() throws {
        let link = FileManager.default.temporaryDirectory.appendingPathComponent("pty-\(UUID().uuidString)").path
        var first: Pty? = try Pty(link: link)
        let second = try Pty(link: link)
        #expect(first?.path != second.path)
        first = nil
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == second.path)
    }
}
