import JSON
import Testing

@Suite struct TypesTests {
    @Test func typesListsEveryTypeWithItsOptions() throws {
        let outcome = try Command.run("types")
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("bochs-display\n"))
        #expect(outcome.output.contains("vram=1M..256M"))
        #expect(outcome.output.contains("edid=on|off"))
        #expect(outcome.output.contains("serial\n"))
        #expect(outcome.output.contains("line=TEXT"))
    }

    @Test func typesAsJSONSaysTheSame() throws {
        let outcome = try Command.run("types", "--json")
        #expect(outcome.status == 0)
        let types = try #require(JSON(parsing: outcome.output).array)
        let display = try #require(types.first { $0["name"] == "bochs-display" })
        let vram = try #require(display["options"]?.array?.first { $0["name"] == "vram" })
        #expect(vram["kind"] == "integer")
        #expect(vram["minimum"] == 1_048_576)
        #expect(vram["default"] == "16M")
    }

    @Test func helpListsTheExitStatuses() throws {
        let outcome = try Command.run("help")
        #expect(outcome.status == 0)
        for status in [64, 65, 66, 69, 70, 72, 73, 74, 76, 77, 126, 127] {
            #expect(outcome.output.contains("\n  \(status)  "))
        }
    }

    @Test(arguments: [
        ["reboot"], ["types", "--xml"], ["types", "more"], ["run"], ["screenshot"], ["stop"], ["inspect"],
    ])
    func aCommandLineThatIsNotUnderstoodIsAUsageError(arguments: [String]) throws {
        let outcome = try Command.run(arguments)
        #expect(outcome.status == 64)
        #expect(outcome.errors.hasPrefix("Error: "))
        #expect(outcome.output.isEmpty)
    }
}
