import Glibc

/// A control group of version 2: a folder of the kernel's cgroup2 file system, whose files are its settings.
/// `cgroups(7)`, Linux Documentation/admin-guide/cgroup-v2.rst
public struct ControlGroup: Equatable, Sendable {
    /// The folder.
    public let path: String

    public init(path: String) {
        self.path = path
    }

    /// The one that this process is in; nil where no cgroup2 is mounted that shows it.
    public static func ofThisProcess() throws(Errno) -> ControlGroup? {
        func text(_ path: String) throws(Errno) -> String {
            String(decoding: try Descriptor(reading: path).readBytes(upTo: 1 << 20), as: UTF8.self)
        }
        return ControlGroup(membership: try text("/proc/self/cgroup"), mounts: try text("/proc/self/mountinfo"))
    }

    /// - Parameters:
    ///   - membership: the contents of `/proc/PID/cgroup`.
    ///   - mounts: the contents of `/proc/PID/mountinfo`, `proc_pid_mountinfo(5)`.
    /// - Returns: nil when the process is in no group of version 2, or in one that is mounted nowhere.
    public init?(membership: String, mounts: String) {
        let prefix = "0::"
        guard
            let group = membership.split(separator: "\n").first(where: { $0.hasPrefix(prefix) })?.dropFirst(
                prefix.count),
            group.hasPrefix("/"), !group.hasPrefix("/..")
        else { return nil }
        for line in mounts.split(separator: "\n") {
            // Optional fields end with a lone dash; the type is what follows.
            let fields = line.split(separator: " ")
            guard fields.count > 6, let dash = fields[6...].firstIndex(of: "-"),
                fields[(dash + 1)...].first == "cgroup2"
            else { continue }
            let (root, point) = (Self.unescaped(fields[3]), Self.unescaped(fields[4]))
            let top = root == "/" ? "" : root
            guard group == root || group.hasPrefix("\(top)/") else { continue }
            let below = group.dropFirst(top.count)
            path = below.isEmpty || below == "/" ? point : point + below
            return
        }
        return nil
    }

    /// A space and its like are three octal digits behind a backslash there.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var left = field.utf8[...]
        while let byte = left.popFirst() {
            if byte == UInt8(ascii: "\\"), let code = UInt8(String(decoding: left.prefix(3), as: UTF8.self), radix: 8) {
                bytes.append(code)
                left = left.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: The tree

    /// Its own name.
    public var name: Substring { path.split(separator: "/").last ?? "" }

    public var parent: ControlGroup {
        ControlGroup(path: String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
    }

    public func child(_ name: String) -> ControlGroup { ControlGroup(path: "\(path)/\(name)") }

    /// Makes it unless it is there. `mkdir(2)`
    public func make() throws(Errno) {
        do throws(Errno) { try systemCall { mkdir(path, 0o755) } } catch { if error != .fileExists { throw error } }
    }

    /// - Throws: `.resourceBusy` while a process is in it. `rmdir(2)`
    public func remove() throws(Errno) {
        try systemCall { rmdir(path) }
    }

    /// The names of the groups in it.
    public var children: [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    // MARK: Its files

    /// Whether this process may put processes and groups into it, and say which controllers these have.
    public var isWritable: Bool {
        ["", "/cgroup.procs", "/cgroup.subtree_control"].allSatisfy { access(path + $0, W_OK) == 0 }
    }

    /// What a file of it holds, such as `memory.max`.
    public func read(_ file: String) throws(Errno) -> String {
        let text = String(decoding: try Descriptor(reading: "\(path)/\(file)").readBytes(upTo: 1 << 20), as: UTF8.self)
        return String(text.last == "\n" ? text.dropLast() : text[...])
    }

    /// Writes to a file of it, which the kernel takes at once or not at all.
    ///
    /// - Throws: `.noSuchFileOrDirectory` where its controller isn't enabled.
    public func write(_ value: String, to file: String) throws(Errno) {
        let path = "\(path)/\(file)"
        let descriptor = Descriptor(owning: try systemCall { open(path, O_WRONLY | O_TRUNC | O_CLOEXEC) })
        try descriptor.writeAll(Array(value.utf8).span.bytes)
    }

    /// The processes in it, but not in groups below it.
    public var processes: [Int32] {
        get throws(Errno) { try read("cgroup.procs").split(separator: "\n").compactMap { Int32($0) } }
    }

    /// Takes a process, with all of its threads, out of whatever group it is in.
    public func add(_ process: Int32) throws(Errno) {
        try write("\(process)", to: "cgroup.procs")
    }
}
