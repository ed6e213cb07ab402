import Foundation

/// Debian's tshark, with the dissector from the source tree.
public enum Tshark {
    private static let program = URL(fileURLWithPath: "/usr/bin/tshark")

    public static var isThere: Bool { FileManager.default.isExecutableFile(atPath: program.path) }

    public struct Failed: Error {
        public let errors: String
    }

    public static func run(_ arguments: [String]) throws -> String {
        let script = Repository.file("Sources/Tools/Recording/Dissector/vfio_user.lua").path
        let outcome = try Program.run(program, ["-X", "lua_script:\(script)"] + arguments)
        guard outcome.status == 0, !outcome.errors.contains("Lua") else { throw Failed(errors: outcome.errors) }
        return outcome.output
    }

    /// A line for each packet, as people see them.
    public static func lines(_ path: String) throws -> [String] {
        try run(["-r", path]).split(separator: "\n").map(String.init)
    }

    /// Of each packet the fields below `vfio_user.`.
    public static func fields(_ path: String, _ names: [String], filter: String = "") throws -> [[String]] {
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
    public static func malformed(_ path: String) throws -> [[String]] {
        try fields(path, ["number"], filter: "_ws.malformed || vfio_user.too_short || _ws.lua.error")
    }
}
