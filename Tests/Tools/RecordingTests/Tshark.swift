import Foundation
import Programs
import Recording

/// Debian's tshark, with the dissector from the source tree.
enum Tshark {
    private static let program = URL(fileURLWithPath: "/usr/bin/tshark")

    static var isThere: Bool { FileManager.default.isExecutableFile(atPath: program.path) }

    struct Failed: Error {
        let errors: String
    }

    static func run(_ arguments: [String]) throws -> String {
        let scratch = try Scratch()
        let script = try scratch.write(Dissector.text, to: "vfio_user.lua")
        let outcome = try Program.run(program, ["-X", "lua_script:\(script)"] + arguments)
        guard outcome.status == 0, !outcome.errors.contains("Lua") else { throw Failed(errors: outcome.errors) }
        return outcome.output
    }

    /// A line for each packet, as people see them.
    static func lines(_ path: String) throws -> [String] {
        try run(["-r", path]).split(separator: "\n").map(String.init)
    }

    /// Of each packet the fields below `vfio_user.`.
    static func fields(_ path: String, _ names: [String], filter: String = "") throws -> [[String]] {
        let output = try run(
            ["-r", path, "-T", "fields", "-E", "separator=|", "-Y", filter.isEmpty ? "vfio_user" : filter]
                + names.flatMap { ["-e", "vfio_user.\($0)"] })
        return output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map {
            $0.split(separator: "|", omittingEmptySubsequences: false).map(String.init).map { value in
                // As older ones write it.
                value == "True" ? "1" : value == "False" ? "0" : value
            }
        }
    }

    /// The packets that the dissector could not take apart.
    static func malformed(_ path: String) throws -> [[String]] {
        try fields(path, ["number"], filter: "_ws.malformed || vfio_user.too_short || _ws.lua.error")
    }
}
