import DaemonAPI
import Glibc

extension VGPU.Owner {
    /// Reads `USER`, `USER:GROUP` or `:GROUP`, each a name or a number, as `chown(1)` does.
    ///
    /// - Throws: `Failure` for a name that nobody has.
    init(argument: String) throws(Failure) {
        let sides = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard sides.contains(where: { !$0.isEmpty }) else {
            throw Failure(.usage, "The owner is '\(argument)' but must be USER, USER:GROUP or :GROUP.")
        }
        self.init(user: nil, group: nil)
        if !sides[0].isEmpty {
            guard let number = UInt32(sides[0]) ?? Self.user(sides[0]) else {
                throw Failure(.usage, "There is no user '\(sides[0])'.")
            }
            user = number
        }
        if sides.count > 1, !sides[1].isEmpty {
            guard let number = UInt32(sides[1]) ?? Self.group(sides[1]) else {
                throw Failure(.usage, "There is no group '\(sides[1])'.")
            }
            group = number
        }
    }

    /// As much as an entry takes, with all members of a group.
    private static let bufferSize = 64 << 10

    /// `getpwnam_r(3)`
    private static func user(_ name: String) -> UInt32? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: bufferSize)
        guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return entry.pw_uid
    }

    /// `getgrnam_r(3)`
    private static func group(_ name: String) -> UInt32? {
        var entry = Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        var buffer = [CChar](repeating: 0, count: bufferSize)
        guard getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return entry.gr_gid
    }
}
