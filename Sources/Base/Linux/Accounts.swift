import Glibc

/// Users and groups, by name and number, wherever the system keeps them: files, LDAP, systemd. `nsswitch.conf(5)`
public enum Accounts {
    /// What an entry is tried with first, in bytes, and at most: a group has all its members in there.
    private static let bufferSize = 4096
    private static let largestBuffer = 16 << 20

    /// A user's number; nil when there is no such user. `getpwnam_r(3)`
    public static func user(named name: String) -> UInt32? {
        entry(passwd()) { getpwnam_r(name, $0, $1, $2, $3) }?.pw_uid
    }

    /// The number of a user's own group; nil when there is no such user. `getpwuid_r(3)`
    public static func group(ofUser user: UInt32) -> UInt32? {
        entry(passwd()) { getpwuid_r(user, $0, $1, $2, $3) }?.pw_gid
    }

    /// A group's number; nil when there is no such group. `getgrnam_r(3)`
    public static func group(named name: String) -> UInt32? {
        entry(Glibc.group()) { getgrnam_r(name, $0, $1, $2, $3) }?.gr_gid
    }

    /// Asks again with more room while it isn't enough. The entry's text is gone when this returns; its numbers are
    /// not.
    ///
    /// - Parameter size: of the first buffer.
    static func entry<Entry>(
        _ empty: Entry, size: Int = bufferSize,
        _ look: (
            UnsafeMutablePointer<Entry>, UnsafeMutablePointer<CChar>, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<Entry>?>
        ) -> Int32
    ) -> Entry? {
        var entry = empty
        var size = size
        while size <= largestBuffer {
            var found: UnsafeMutablePointer<Entry>?
            var buffer = [CChar](repeating: 0, count: size)
            switch look(&entry, &buffer, size, &found) {
            case 0: return found == nil ? nil : entry
            case EINTR: continue
            case ERANGE: size *= 4
            default: return nil
            }
        }
        return nil
    }
}
