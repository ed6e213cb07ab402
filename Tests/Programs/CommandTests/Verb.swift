import Foundation
import JSON
import Testing

/// A command that `mediated` says it has: itself, and whatever stands behind it.
struct Verb {
    /// Such as `mediated`, `kvm`, `run`.
    let words: [String]
    /// Of its options and flags, such as `--socket`.
    let longNames: [String]

    /// All of them, but for `help` and what users have no need of.
    static func all() throws -> [Verb] {
        let outcome = try Command.run("--experimental-dump-help")
        return try verbs(try #require(JSON(parsing: outcome.output)["command"]), behind: [])
    }

    private static func verbs(_ command: JSON, behind parents: [String]) throws -> [Verb] {
        let words = parents + [try #require(command["commandName"]?.string)]
        if words.last == "help" || command["shouldDisplay"] == false { return [] }
        let names = (command["arguments"]?.array ?? []).flatMap { $0["names"]?.array ?? [] }
        let longNames = names.filter { $0["kind"] == "long" }.compactMap { $0["name"]?.string }.map { "--" + $0 }
        return try [Verb(words: words, longNames: longNames)]
            + (command["subcommands"]?.array ?? []).flatMap { try verbs($0, behind: words) }
    }
}
