import CLinux
import Foundation
import Glibc
import Linux
import Programs
import Recording
import Tap
import Testing

/// Recordings as files.
@Suite struct FileTests {
    @Test func whatIsWrittenIsRead() throws {
        let records = (0..<100).map { record(.write, $0, bytes: [UInt8](repeating: UInt8($0), count: Int($0))) }
        let file = try Recorded(records)
        let read = try file.read()
        #expect(read.records == records)
        #expect(!read.isCutOff)
    }

    @Test func theLongestRecordFits() throws {
        var long = record(.memoryRead, bytes: [UInt8](repeating: 7, count: Record.maximumBytes))
        long.name = String(repeating: "n", count: Record.maximumNameLength)
        #expect(try Recorded([long]).read().records == [long])
    }

    @Test func onlyItsOwnerMayReadIt() throws {
        let file = try Recorded([record(.read)])
        var status = stat()
        #expect(stat(file.path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }

    @Test func aFileIsReplacedOnlyWhenThatIsAsked() throws {
        let file = try Recorded([record(.read)])
        #expect(throws: Errno.fileExists) { _ = try RecordingWriter(path: file.path) }
        #expect(try file.read().records.count == 1)
        _ = try RecordingWriter(path: file.path, replaces: true)
        #expect(try file.read().records.isEmpty)
    }

    @Test func whatIsNoFileIsNeverReplaced() throws {
        let file = try Recorded()
        #expect(symlink("/dev/null", file.path) == 0)
        #expect(throws: Errno.fileExists) { _ = try RecordingWriter(path: file.path, replaces: true) }
    }

    @Test func whereverItWasCutOffItIsReadUpToThere() throws {
        let records = (0..<3).map { record(.write, $0) }
        let file = try Recorded(records)
        let whole = try file.bytes
        var counts: Set<Int> = []
        for length in 28..<whole.count {
            let read = try Recorded.read(RecordingReader(copyOf: Array(whole[..<length])))
            #expect(read.records == Array(records.prefix(read.records.count)))
            counts.insert(read.records.count)
        }
        #expect(counts == [0, 1, 2])
    }

    @Test func aFileThatEndsAmidARecordSaysSo() throws {
        let file = try Recorded([record(.write)])
        try file.replace(with: file.bytes.dropLast(5))
        #expect(try file.read().isCutOff)
    }

    /// Also in a block that is passed over, because no record is so long.
    @Test func aFileThatEndsAmidALongBlockSaysSo() throws {
        let file = try Recorded([record(.write)])
        let custom = block(0xbad, [UInt8](repeating: 1, count: 3 << 20))
        try file.replace(with: file.bytes + custom.dropLast(5))
        let read = try file.read()
        #expect(read.records.count == 1 && read.isCutOff)
    }

    @Test func aFullDiskLeavesWholeRecords() throws {
        // Memory that doesn't grow is like a disk with so much left: write(2) takes a part, and then none.
        let full = clinux_memfd("full")
        let (addSeals, sealGrow): (Int32, Int32) = (1033, 4)
        #expect(ftruncate(full, 12_288) == 0 && fcntl(full, addSeals, sealGrow) == 0)
        let path = "/proc/self/fd/\(full)"
        let writer = try RecordingWriter(to: Descriptor(owning: full))
        for number in 0..<1000 { try writer.append(record(.write, UInt64(number))) }
        #expect(throws: Errno.self) { try writer.flush() }
        #expect(throws: Errno.self) {
            try writer.append(record(.write))
            try writer.flush()
        }
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        #expect(bytes.count == writer.byteCount)
        let file = try Recorded()
        try file.replace(with: bytes)
        let read = try file.read()
        #expect(!read.isCutOff)
        #expect(read.records.count > 10)
        #expect(read.records == (0..<read.records.count).map { record(.write, UInt64($0)) })
    }

    // MARK: What others have made

    @Test func noRecordingIsRefused() throws {
        let file = try Recorded()
        for bytes in [[], [1, 2, 3], [UInt8](repeating: 0, count: 100), Array("<xml>".utf8)] as [[UInt8]] {
            try file.replace(with: bytes)
            #expect(throws: RecordingError.noRecording) { try file.read() }
        }
        #expect(throws: RecordingError.system(.noSuchFileOrDirectory)) {
            _ = try RecordingReader(path: file.path + "x")
        }
    }

    @Test func wrongBytesAreToldWithTheirPlace() throws {
        let file = try Recorded([record(.write), record(.write, 1)])
        let whole = try file.bytes
        var refused = 0
        for place in 28..<whole.count {
            for value in [0, 0xff] as [UInt8] {
                var bytes = whole
                bytes[place] = value
                do { _ = try Recorded.read(RecordingReader(copyOf: bytes)) } catch RecordingError.damaged(let at, _) {
                    #expect(at < whole.count && at % 4 == 0)
                    refused += 1
                }
            }
        }
        #expect(refused > 50)
    }

    @Test func blocksAndPacketsOfOthersArePassedOver() throws {
        let file = try Recorded([record(.write)])
        let whole = try file.bytes
        // A comment's block, as Wireshark writes, longer than what is read at once.
        let custom = block(0xbad, [UInt8](repeating: 1, count: 3 << 20))
        let ethernet = block(1, [1, 0, 0, 0, 0, 0, 0, 0])
        let stranger = block(6, [1, 0, 0, 0] + [UInt8](repeating: 0, count: 8) + [4, 0, 0, 0, 4, 0, 0, 0, 9, 9, 9, 9])
        try file.replace(with: whole + custom + ethernet + stranger + whole)
        #expect(try file.read().records == [record(.write), record(.write)])
    }

    private func block(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
        let length = UInt32(body.count + 12)
        func word(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
        return word(type) + word(length) + body + word(length)
    }
}
