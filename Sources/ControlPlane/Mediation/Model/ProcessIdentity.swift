import Glibc
import Linux

/// Which process is meant, beyond doubt: process IDs are given out again, after a reboot from the beginning.
public struct ProcessIdentity: Equatable, Codable, Sendable {
    public var id: Int32
    /// When it started, in clock ticks since the host did. `proc(5)`, /proc/PID/stat, field 22
    public var startTime: UInt64
    /// Which boot of the host. /proc/sys/kernel/random/boot_id
    public var boot: String

    public init(id: Int32, startTime: UInt64, boot: String) {
        self.id = id
        self.startTime = startTime
        self.boot = boot
    }

    /// The identity of a process that runs now.
    ///
    /// - Throws: `.noSuchFileOrDirectory` when there is none.
    public init(of process: Int32) throws(Errno) {
        // Behind the name, which may hold anything, parentheses among it.
        let fields = try Self.text(of: "/proc/\(process)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 19, let startTime = UInt64(fields[19]) else { throw .noSuchFileOrDirectory }
        self.init(id: process, startTime: startTime, boot: try Self.currentBoot())
    }

    public static func currentBoot() throws(Errno) -> String {
        String(try text(of: "/proc/sys/kernel/random/boot_id").prefix { !$0.isNewline })
    }

    /// A handle of this very process.
    ///
    /// - Throws: `.noSuchProcess` when it is gone for good. Any other error says nothing of that.
    public func handle() throws(Errno) -> ProcessHandle {
        guard try Self.currentBoot() == boot else { throw .noSuchProcess }
        do throws(Errno) {
            let handle = try ProcessHandle(id)
            // If it is this one now, it was when the handle was made.
            guard try ProcessIdentity(of: id) == self else { throw .noSuchProcess }
            return handle
        } catch .noSuchFileOrDirectory {
            throw .noSuchProcess
        }
    }

    private static func text(of path: String) throws(Errno) -> String {
        String(decoding: try Descriptor(reading: path).readBytes(upTo: 4096), as: UTF8.self)
    }
}
