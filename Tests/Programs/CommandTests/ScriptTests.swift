import Foundation
import Programs
import Testing

/// The scripts behind `make check`, `make test` and `make setup`, with a toolchain that does as it is told.
@Suite struct ScriptTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test func aPartThatFailsHidesNoneAndWhatFailedIsNamedAtTheEnd() throws {
        let outcome = try run(
            "Scripts/test", "--check",
            toolchain: """
                case $1 in
                format) exit 1 ;;
                test)
                    while [ "$1" != --xunit-output ]; do shift; done
                    cat >"$2" <<END
                <testsuites><testsuite>
                    <testcase classname="Tests.Some" name="oneThatPasses()" />
                    <testcase classname="Tests.Some" name="oneThatFails()"><failure message="Expectation failed: 1 == 2" /></testcase>
                    <testcase classname="Tests.Some" name="oneThatNeedsTheLab()"><skipped /></testcase>
                </testsuite></testsuites>
                END
                    exit 1 ;;
                esac
                """)
        #expect(outcome.status == 1)
        let said = outcome.output.split(separator: "\n").suffix(5)
        #expect(said.first == "FAILED: format: 'make --no-print-directory lint' ended with status 2")
        for (line, part) in zip(said.dropFirst(), ["tests without the lab", "observed server", "neighbours"]) {
            #expect(line == "FAILED: \(part): Tests.Some/oneThatFails(): Expectation failed: 1 == 2")
        }
        // Of those that passed, two are units and build.
        #expect(said.last == "5 passed, 4 failed")
    }

    @Test func whatNeedsAPartThatFailedIsNotRunAndHasFailed() throws {
        let outcome = try run("Scripts/test", "--check", toolchain: #"test "$1" != build"#)
        #expect(outcome.status == 1)
        let said = outcome.output.split(separator: "\n").suffix(4)
        #expect(said.first == "FAILED: tests without the lab: not run, for 'build' has failed")
        #expect(said.last == "2 passed, 4 failed")
    }

    @Test func anotherToolchainThanTheTestedOneIsNamedInAWarning() throws {
        let outcome = try run(
            "Scripts/versions", "--warn", toolchain: "echo 'Swift version 5.9.2 (swift-5.9.2-RELEASE)'")
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("Warning: Swift is 5.9.2 here, and Mediated is tested with Swift 6."))
    }

    /// Runs a script of ours with a shell script in place of `swift`.
    private func run(_ script: String..., toolchain: String) throws -> Program.Outcome {
        let swift = try scratch.write("#!/bin/sh\n\(toolchain)\n", to: "swift")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: swift)
        return try Program.run(
            URL(fileURLWithPath: "/usr/bin/env"), ["SWIFT=\(swift)"] + script, in: Repository.file("."))
    }
}
