import Foundation
import Programs
import Testing

@Suite struct ManualTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    @Test func everyVerbHasAPageThatNamesItsOptions() throws {
        let program = try Program.folder.appendingPathComponent("mediated").path
        let outcome = try Command.run(program, scratch.path("man"), at: Repository.file("Scripts/manual"))
        #expect(outcome.status == 0, "\(outcome.errors)")
        let verbs = try Verb.all()
        #expect(verbs.count > 10)
        for verb in verbs {
            let page = try String(
                contentsOfFile: scratch.path("man/\(verb.words.joined(separator: "-")).1"), encoding: .utf8)
            #expect(page.contains(".Nm \(verb.words.joined(separator: "-"))\n.Nd "))
            for name in verb.longNames { #expect(page.contains("Fl \(name.dropFirst())"), "\(verb.words) \(name)") }
        }
        let pages = try FileManager.default.contentsOfDirectory(atPath: scratch.path("man"))
        #expect(pages.count == verbs.count)
    }

    @Test func theExitStatusesAreAListOnTheProgramsPage() throws {
        let program = try Program.folder.appendingPathComponent("mediated").path
        _ = try Command.run(program, scratch.path("man"), at: Repository.file("Scripts/manual"))
        let page = try String(contentsOfFile: scratch.path("man/mediated.1"), encoding: .utf8)
        let section = try #require(page.range(of: ".Sh EXIT STATUS\n"))
        for status in [64, 65, 66, 69, 70, 72, 73, 74, 76, 77, 126, 127] {
            #expect(page[section.upperBound...].contains("\n.It \(status)\n"))
        }
    }

    @Test func aProgramThatIsNotThereFails() throws {
        let outcome = try Command.run(
            scratch.path("none"), scratch.path("man"), at: Repository.file("Scripts/manual"))
        #expect(outcome.status != 0)
        #expect(!FileManager.default.fileExists(atPath: scratch.path("man")))
    }
}
