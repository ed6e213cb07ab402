import Glibc

/// The names of what is in a folder, in their order, `.` and `..` among them. `readdir(3)`
///
/// - Returns: none where there is no such folder, or none that may be read.
public func names(inFolder path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        // SAFETY: the name ends with a zero byte, and is copied before the next call.
        names.append(
            withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
    }
    return names.sorted()
}
