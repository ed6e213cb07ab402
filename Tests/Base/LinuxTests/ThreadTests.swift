import Foundation
import Glibc
import Linux
import Testing

@Suite struct ThreadTests {
    @Test func aThreadThatNobodyJoinsLeavesNothing() throws {
        let before = try addressSpace()
        for _ in 0..<64 { _ = try Linux.Thread(name: "brief", stackSize: 64 << 20) {} }
        // A detached thread tells nobody when its stack is gone.
        let deadline = Deadline(after: .seconds(30))
        while try addressSpace() > before + 2 << 30 {
            try #require(!deadline.hasPassed, "Their stacks, 4 GiB, are still there.")
            _ = try waitReadable([], within: .milliseconds(5))
        }
    }

    /// In bytes.
    private func addressSpace() throws -> Int {
        let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ").first
        return try #require(pages.flatMap { Int($0) }) * 4096
    }

    @Test func aDetachedProgramWritesItsOutputWhereItsErrorsGo() throws {
        let pair = try UnixSocket.pair()
        let process = try ChildProcess.spawn(
            "/bin/sh", ["-c", "echo output; echo errors >&2"], passing: [], standardError: pair.first.descriptor.raw,
            isDetached: true)
        var status: Int32 = 0
        #expect(waitpid(process, &status, 0) == process && status == 0)
        let text = String(decoding: try pair.second.descriptor.readBytes(upTo: 14), as: UTF8.self)
        #expect(text == "output\nerrors\n")
    }
}
