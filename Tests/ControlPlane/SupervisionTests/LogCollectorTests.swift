import Foundation
import Glibc
import Linux
import Mediation
import Programs
import Testing
import Waiting

@testable import Supervision

/// Logs of device processes that a guest has taken over, and of those that nobody reads.
@Suite struct LogCollectorTests {
    private let directories = Directories(root: temporaryPath("logs"))
    private let id = InstanceID()

    private func withFolders(_ body: () throws -> Void) throws {
        defer { try? FileManager.default.removeItem(atPath: (directories.logs as NSString).deletingLastPathComponent) }
        try directories.make()
        try body()
    }

    private var log: String { (try? String(contentsOfFile: directories.log(of: id), encoding: .utf8)) ?? "" }

    private func awaitLog(_ words: String) throws {
        try awaitChanges(in: directories.logs) { log.contains(words) }
    }

    @Test func whatIsWrittenIsInTheLog() throws {
        try withFolders {
            let logs = try LogCollector(directories)
            let pipe = try logs.makePipe(for: id)
            try pipe.writeAll(Array("One.\n".utf8).span.bytes)
            try awaitLog("One.\n")
            try pipe.writeAll(Array("Two.\n".utf8).span.bytes)
            // What a process wrote last is there when it is gone.
            logs.remove(id)
            #expect(log == "One.\nTwo.\n")
            #expect(!FileManager.default.fileExists(atPath: directories.logPipe(of: id)))
        }
    }

    @Test func whoeverWritesWithoutEndNeitherWaitsNorFillsTheDisk() throws {
        try withFolders {
            let logs = try LogCollector(directories)
            let pipe = try logs.makePipe(for: id)
            let line = Array(String(repeating: "x", count: 4095).utf8) + [UInt8(ascii: "\n")]
            var (written, lost) = (0, 0)
            // 400 MiB, if they were taken.
            for _ in 0..<100_000 {
                do throws(Errno) {
                    try pipe.writeAll(line.span.bytes)
                    written += line.count
                } catch {
                    #expect(error == .resourceTemporarilyUnavailable)
                    lost += 1
                }
            }
            #expect(lost > 0 && written < 64 << 20, "\(written) bytes were taken")
            #expect(log.utf8.count <= LogFile.limit + 64 << 10)
        }
    }

    @Test func withoutAReaderItGoesOnAndTheNextOneFindsWhatWasWritten() throws {
        try withFolders {
            let pipe: Descriptor
            do { pipe = try LogCollector(directories).makePipe(for: id) }
            try pipe.writeAll(Array("Nobody reads.\n".utf8).span.bytes)
            let next = try LogCollector(directories)
            try next.adopt(id)
            try awaitLog("Nobody reads.\n")
            try pipe.writeAll(Array("Somebody does.\n".utf8).span.bytes)
            next.drain(id)
            try awaitLog("Somebody does.\n")
        }
    }
}
