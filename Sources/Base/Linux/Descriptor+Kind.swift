import Glibc

extension Descriptor {
    /// What kind of file an open descriptor is of, in a word: `memfd`, `eventfd`, `socket`, `pipe`, `file`, or what the
    /// kernel calls another one. Asks nobody but the kernel. `/proc/self/fd`
    public static func kind(of raw: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = readlink("/proc/self/fd/\(raw)", &buffer, buffer.count)
        guard count > 0 else { return "closed" }
        let target = String(decoding: buffer[..<count], as: UTF8.self)
        if target.hasPrefix("/memfd:") { return "memfd" }
        if target.hasPrefix("anon_inode:") {
            return target.dropFirst("anon_inode:".count).filter { $0 != "[" && $0 != "]" }
        }
        for kind in ["socket", "pipe"] where target.hasPrefix("\(kind):[") { return kind }
        return "file"
    }
}
