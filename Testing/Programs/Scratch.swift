import Foundation

/// A folder of a test's own, which goes with this object. Its path is short: a socket's has at most 107 bytes.
public final class Scratch: Sendable {
    public let url = URL(fileURLWithPath: temporaryPath("mediated"))

    /// - Parameter permissions: the folder's mode; a test that becomes another user opens it to all.
    public init(permissions: Int = 0o755) throws {
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        // Not given at its making: the umask would take some away.
        try FileManager.default.setAttributes([.posixPermissions: permissions], ofItemAtPath: url.path)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    /// The path of what has that name in the folder.
    public func path(_ name: String) -> String { url.path + "/" + name }

    /// Writes a file.
    ///
    /// - Returns: its path.
    public func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: path(name), atomically: false, encoding: .utf8)
        return path(name)
    }
}

/// Where nothing is yet, in the folder for temporary files. Short: a socket's path has at most 107 bytes.
///
/// - Parameter name: for whoever finds it there.
public func temporaryPath(_ name: String = "test") -> String {
    "/tmp/\(name)-\(getpid())-\(UInt32.random(in: 0 ... .max))"
}
