import Foundation
import Linux
import Testing

@Suite struct FileReplacementTests {
    private let path = FileManager.default.temporaryDirectory.appendingPathComponent("file-\(UUID().uuidString)").path

    private func replace(with text: String) throws {
        let file = try FileReplacement(path: path)
        try file.descriptor.writeAll(Array(text.utf8).span.bytes)
        try file.commit()
    }

    @Test func aFileIsReplacedWhole() throws {
        try replace(with: "one")
        try replace(with: "two")
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "two")
    }

    @Test func whatALinkLeadsToIsNotReplaced() throws {
        let other = path + ".other"
        #expect(FileManager.default.createFile(atPath: other, contents: Data("kept".utf8)))
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: other)
        #expect(throws: Errno.fileExists) { try replace(with: "lost") }
        #expect(try String(contentsOfFile: other, encoding: .utf8) == "kept")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: path) == other)
    }
}
