import Foundation
import Programs

/// What stands in for Xen's own tool: it knows domain 5, `guest`, which hasn't run yet, and domain 6, which has.
struct FakeXL {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        let path = try scratch.write(
            """
            #!/bin/sh
            row() { printf 'Name  ID  Mem VCPUs\\tState\\tTime(s)\\n%s  %s  512     1\\t%s\\t%s\\n' "$@"; }
            case "$*" in
            'domid guest') echo 5 ;;
            'domid all') echo 0 ;;
            'domid odd') echo five ;;
            'list 5') row guest 5 --p--- 0.0 ;;
            'list 6') row busy 6 -b---- 12.3 ;;
            'list 8') echo nothing ;;
            *) echo "$2 is an invalid domain identifier (rc=-6)" >&2; exit 1 ;;
            esac

            """, to: "xl")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }

    /// Runs `mediated` where it is.
    ///
    /// - Parameter folder: where `mediated` is; where the build has put it unless given.
    func run(_ arguments: [String], in folder: URL? = nil) throws -> Program.Outcome {
        try Self.run(arguments, path: scratch.url.path, in: folder)
    }

    /// Runs `mediated` where there is no such tool.
    static func runWithout(_ arguments: [String]) throws -> Program.Outcome {
        try run(arguments, path: "/nowhere", in: nil)
    }

    private static func run(_ arguments: [String], path: String, in folder: URL?) throws -> Program.Outcome {
        let program = try (folder ?? Program.folder).appendingPathComponent("mediated").path
        return try Command.run(
            ["PATH=\(path):/usr/bin:/bin", program] + arguments, at: URL(fileURLWithPath: "/usr/bin/env"))
    }
}
