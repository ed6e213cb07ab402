import Glibc
import Linux
import Testing

@Suite struct CompanionProgramTests {
    @Test func aProgramBesideThisOneIsFound() throws {
        let executable = try #require(realpath("/proc/self/exe", nil))
        defer { free(executable) }
        let path = String(cString: executable)
        let name = try #require(path.split(separator: "/").last)
        #expect(try CompanionProgram.path(of: String(name)) == path)
    }

    @Test func aProgramThatIsMissingIsSaidSoWithThePlaces() throws {
        let error = #expect(throws: CompanionProgram.Missing.self) { try CompanionProgram.path(of: "mediated-none") }
        let candidates = try #require(error?.candidates)
        #expect(candidates.count == 2)
        #expect(candidates[0].hasSuffix("/mediated-none"))
        #expect(candidates[1].hasSuffix("/../libexec/mediated-none"))
        #expect(error?.description.contains(candidates.joined(separator: " and ")) == true)
    }
}
