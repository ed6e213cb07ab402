import Glibc

/// The programs that are built and installed together with this one.
public enum CompanionProgram {
    /// A program isn't where it was looked for.
    public struct Missing: Error, CustomStringConvertible {
        public let name: String
        /// The paths that were tried; none when this program's own can't be told, and why not.
        public let candidates: [String]
        public var reason: Errno?

        public var description: String {
            if reason == .permissionDenied {
                return
                    "The program \(name) can't be looked for: the user that this program runs as may not enter its folder."
            }
            return candidates.isEmpty
                ? "The program \(name) can't be looked for: where this program lies can't be told"
                    + (reason.map { " (\($0))." } ?? ".")
                : "The program \(name) is missing; it was looked for at \(candidates.joined(separator: " and "))."
        }
    }

    /// The path of a program: beside this one, or where a package puts programs that users don't call themselves.
    /// FHS 3.0, section 4.7
    ///
    /// - Parameter name: the file's name, such as mediated-device.
    public static func path(of name: String) throws(Missing) -> String {
        guard let executable = realpath("/proc/self/exe", nil) else {
            throw Missing(name: name, candidates: [], reason: Errno(rawValue: errno))
        }
        defer { free(executable) }
        let path = String(cString: executable)
        let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        let candidates = ["\(folder)/\(name)", "\(folder)/../libexec/\(name)"]
        guard let found = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw Missing(name: name, candidates: candidates)
        }
        return found
    }
}
