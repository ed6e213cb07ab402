import Control
import Foundation
import Programs
import Testing

@Suite struct VersionTests {
    @Test func theVersionIsPrinted() throws {
        let outcome = try Command.run("--version")
        #expect(outcome.status == 0)
        #expect(outcome.output == Version.current + "\n")
    }

    @Test func theVersionIsTheChangelogs() throws {
        let changelog = try String(contentsOf: Repository.file("CHANGELOG.md"), encoding: .utf8)
        let newest = try #require(changelog.split(separator: "\n").first { $0.hasPrefix("## [") })
        let name = newest.dropFirst(4).prefix { $0 != "]" }
        if name == "Unreleased" {
            #expect(Version.current.hasSuffix("-dev"))
        } else {
            #expect(name == Version.current)
        }
    }
}
