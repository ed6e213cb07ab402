import Foundation
import Programs
import RunningDaemon
import Testing

/// What the shells offer, asked of the shells themselves.
@Suite struct CompletionTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    @Test func bashOffersEveryOptionOfEveryVerb() throws {
        for verb in try Verb.all() {
            let offered = try bash(verb.words + ["--"])
            #expect(Set(verb.longNames).isSubset(of: offered), "\(verb.words)")
        }
    }

    @Test func bashOffersVerbsTypesAndFiles() throws {
        #expect(try bash(["mediated", "sc"]) == ["screenshot"])
        #expect(try bash(["mediated", "run", "s"]) == ["serial"])
        let socket = try scratch.write("", to: "socket")
        #expect(try bash(["mediated", "info", scratch.path("soc")]) == [socket])
        #expect(try bash(["mediated", "run", "--socket", scratch.path("soc")]) == [socket])
        #expect(try bash(["mediated", "info", scratch.path("none")]).isEmpty)
    }

    @Test func bashOffersWhatTheDaemonHas() throws {
        let daemon = try RunningDaemon()
        let uuid = try daemon.define("serial")
        let path = try Program.folder.path
        #expect(try bash(["mediated", "show", "--root", daemon.root, ""], path: path).contains(uuid))
        #expect(try bash(["mediated", "start", "--root", daemon.root, "--uuid", ""], path: path) == [uuid])
        #expect(try bash(["mediated", "define", "--root", daemon.root, "--type", "ser"], path: path) == ["serial"])
        // Where there is none there is nothing to offer, and no complaint.
        #expect(try bash(["mediated", "start", "--root", scratch.url.path, "--uuid", ""], path: path).isEmpty)
    }

    static let fish = "/usr/bin/fish"

    @Test(.enabled(if: access(fish, X_OK) == 0)) func fishOffersEveryOptionOfEveryVerb() throws {
        let script = try script(for: "fish")
        for verb in try Verb.all() {
            let outcome = try Command.run(
                "--no-config", "-c", "source \(script); complete -C '\(verb.words.joined(separator: " ")) --'",
                at: URL(fileURLWithPath: Self.fish))
            let offered = outcome.output.split(separator: "\n").compactMap { $0.split(separator: "\t").first }
            #expect(Set(verb.longNames).isSubset(of: offered.map(String.init)), "\(verb.words)")
        }
    }

    static let zsh = "/usr/bin/zsh"

    @Test(.enabled(if: access(zsh, X_OK) == 0)) func zshReadsItsScript() throws {
        let script = try script(for: "zsh")
        let outcome = try Command.run("-n", script, at: URL(fileURLWithPath: Self.zsh))
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try String(contentsOfFile: script, encoding: .utf8).hasPrefix("#compdef mediated\n"))
    }

    /// What bash offers for the last word. It is asked as readline asks it: by the function that the script
    /// registers, with the words, the place in the line, and the last two words.
    private func bash(_ words: [String], path: String = "/nowhere") throws -> [String] {
        let driver = """
            source "$1"; PATH=\(path):$PATH; shift
            registered=$(complete -p mediated)
            function=${registered##*-F }
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
            "${function% mediated}" mediated "${@: -1}" "${@: -2:1}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let script = try script(for: "bash")
        let outcome = try Command.run(
            ["--norc", "-c", driver, "bash", script] + words, at: URL(fileURLWithPath: "/bin/bash"))
        #expect(outcome.errors.isEmpty)
        return outcome.output.split(separator: "\n").map(String.init)
    }

    private func script(for shell: String) throws -> String {
        try scratch.write(try Command.run("--generate-completion-script", shell).output, to: "completion.\(shell)")
    }
}
