import Glibc
import Linux

/// A vGPU's share of the processor, as far as the scheduler can give it to processes: their nice value, each step of
/// which is worth a quarter more or less. `sched(7)`
struct Weight: Equatable {
    /// 1 to 10000; 100 is everybody's.
    let value: Int

    init(_ value: Int) {
        self.value = value
    }

    /// -20 to 19.
    var nice: Int32 {
        Int32(max(-20, min(19, (-log(Double(max(1, value)) / 100) / log(1.25)).rounded())))
    }

    /// Applies it to every thread of a session, and so to all that these start from then on: a device process is the
    /// first of one, in which its renderer is too, with a process group of its own. Only root can give more than
    /// everybody has, or more than there was.
    func apply(toSessionOf process: Int32) {
        // Twice, as a process that is being forked in between has its parent's value from before.
        for _ in 0..<2 {
            for group in Self.groups(inSessionOf: process) {
                setpriority(__priority_which_t(PRIO_PGRP.rawValue), id_t(group), nice)
            }
        }
        // Where the processor is shared out by session first, nice values alone count within one only, and each vGPU
        // has its own. It is there where the kernel has autogroups, and writable for root and, until the process is
        // confined, its user.
        do throws(Errno) {
            try Descriptor(writing: "/proc/\(process)/autogroup").writeAll(Array("\(nice)".utf8).span.bytes)
        } catch {
            // Nice values alone it is.
        }
    }

    /// The process groups of a session, by their first process: that of the session among them, whatever can be seen.
    private static func groups(inSessionOf process: Int32) -> Set<Int32> {
        let members = names(inFolder: "/proc").compactMap { Int32($0) }.filter { getsid($0) == process }
        return Set([process] + members.map { getpgid($0) }.filter { $0 > 0 })
    }
}
