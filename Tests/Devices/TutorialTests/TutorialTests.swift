import Foundation
import Programs
import Testing

/// The tutorial's code is the code that is compiled: all of it, and nothing else.
@Suite struct TutorialTests {
    /// Every Swift file of the two devices that the tutorial builds, of the program that serves one, and of the test
    /// that looks for its driver's fault, by its path.
    private static func sources() throws -> [String: String] {
        var sources: [String: String] = [:]
        for folder in ["Examples/TutorialDevice", "Examples/TutorialServer", "Sources/Devices/SerialCard"] {
            for name in try FileManager.default.contentsOfDirectory(atPath: Repository.file(folder).path)
            where name.hasSuffix(".swift") {
                let path = "\(folder)/\(name)"
                sources[path] = try String(contentsOf: Repository.file(path), encoding: .utf8)
            }
        }
        let test = "Tests/Devices/TutorialTests/DebuggingTests.swift"
        sources[test] = try String(contentsOf: Repository.file(test), encoding: .utf8)
        return sources
    }

    /// What is between ```` ```swift ```` and ```` ``` ````.
    private static func codeBlocks() throws -> [String] {
        let text = try String(contentsOf: Repository.file("Documentation/Tutorial.md"), encoding: .utf8)
        return text.components(separatedBy: "```swift\n").dropFirst().map { part in
            part.components(separatedBy: "```\n")[0]
        }
    }

    @Test func everyBlockIsInTheSourcesWordForWord() throws {
        let sources = try Self.sources()
        let blocks = try Self.codeBlocks()
        #expect(blocks.count > 10)
        for block in blocks {
            #expect(sources.values.contains { $0.contains(block) }, "Not in any source file:\n\(block)")
        }
    }

    @Test func theBlocksTogetherAreTheWholeSources() throws {
        for (path, text) in try Self.sources() {
            let rest = try Self.codeBlocks().reduce(text) { rest, block in
                rest.replacingOccurrences(of: block, with: "")
            }
            let missing = rest.trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(missing.isEmpty, "\(path) has code that the tutorial doesn't show:\n\(missing)")
        }
    }
}
