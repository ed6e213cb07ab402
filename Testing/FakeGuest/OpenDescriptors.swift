import Glibc
import Linux

extension Descriptor {
    /// How many descriptors of this process are this file, opened for the same: 1 when nobody has kept a copy. Not for
    /// eventfds, which all look alike.
    public borrowing func openCount() -> Int {
        guard let folder = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let number = Int32(name), Self.look(alike: raw, number) { count += 1 }
        }
        return count
    }

    /// As ``openCount()``, when there are no more than so many: a thread of its own closes what others drop. More when
    /// that takes over a minute.
    public borrowing func openCount(settlingAt expected: Int) -> Int {
        let deadline = Deadline(after: .seconds(60))
        while true {
            let count = openCount()
            if count <= expected || deadline.hasPassed { return count }
            sched_yield()
        }
    }

    private static func look(alike one: Int32, _ other: Int32) -> Bool {
        var (first, second) = (stat(), stat())
        guard fstat(one, &first) == 0, fstat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
            && fcntl(one, F_GETFL) & O_ACCMODE == fcntl(other, F_GETFL) & O_ACCMODE
    }
}
