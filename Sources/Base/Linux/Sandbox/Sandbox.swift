import CLinux
import Glibc

/// What a device process may do once it serves: answer on what it has open, and nothing else.
/// `Documentation/Sandbox.md`
///
/// A guest writes registers, a client sends messages, and one of them may find a mistake in the code that reads
/// them. What the process could do then is what it is still allowed to: it can't open a file, make a connection, start
/// a program, or reach another process, and its memory has a limit.
public enum Sandbox {
    /// What could not be done, and why.
    public struct Failure: Error, CustomStringConvertible {
        public let step: String
        public let error: Errno

        public var description: String { "Can't \(step): \(error)." }
    }

    /// Confines this process for good, by all that the kernel offers.
    ///
    /// To be called when everything is open that the process will ever open by a path, and before it reads anything
    /// that somebody else has written. Only descriptors that peers send, memory files, eventfds, timers and accepted
    /// connections come later.
    ///
    /// - Parameters:
    ///   - limits: what the process may use; see ``ResourceLimit/ofDevice(memory:functions:)``.
    ///   - commands: of `ioctl(2)`, that the process has a use for: a hypervisor's, on devices that are open.
    ///   - startThreads: starts whatever threads the process needs. Landlock and capabilities belong to a thread and go
    ///     down to those that it starts, so none may be there before; and none can be started after.
    /// - Returns: the version of Landlock that takes part; nil when this kernel has none, or it is switched off.
    /// - Throws: ``Failure``. The process may be confined in part then and had better end.
    public static func confine(
        limits: [ResourceLimit], commands: [UInt32] = [], startThreads: () throws(Errno) -> Void
    ) throws(Failure) -> Int? {
        try confine(limits, .ofDevice(commands: commands), startThreads)
    }

    /// Confines a process for good that copies between files that are open, and does nothing else.
    ///
    /// - Parameter size: the most bytes that a file may have.
    public static func confineCopying(upTo size: Int) throws(Failure) {
        _ = try confine(ResourceLimit.ofCopying(upTo: size), .ofCopying) { () throws(Errno) in }
    }

    private static func confine(
        _ limits: [ResourceLimit], _ filter: SystemCallFilter, _ startThreads: () throws(Errno) -> Void
    ) throws(Failure) -> Int? {
        try step("forbid tracing") { () throws(Errno) in try shim(clinux_forbid_tracing()) }
        try giveUpPrivileges()
        var landlock: Int?
        try step("have Landlock deny everything") { () throws(Errno) in landlock = try Landlock.denyEverything() }
        try step("start the threads", startThreads)
        // Behind the threads, which RLIMIT_NPROC would forbid.
        for limit in limits {
            try step("limit \(limit.resource) to \(limit.value)") { () throws(Errno) in try limit.apply() }
        }
        // A file that grows too long is an error for whoever writes it, not the end of the process.
        signal(SIGXFSZ, SIG_IGN)
        // Last, as it forbids all of the above. It reaches every thread.
        try step("filter system calls") { () throws(Errno) in try filter.install() }
        return landlock
    }

    /// Gives up what root may do, for this process and all that it starts: no program that it runs gets more.
    public static func giveUpPrivileges() throws(Failure) {
        try step("forbid new privileges") { () throws(Errno) in try shim(clinux_forbid_new_privileges()) }
        try step("give up capabilities") { () throws(Errno) in try shim(clinux_drop_capabilities()) }
    }

    /// Confines a renderer for good, as far as a graphics driver lets it: the drivers are loaded and have their
    /// threads, which make code and further threads. It reaches no file, no program and no other process, and can't
    /// make a connection.
    ///
    /// - Parameters:
    ///   - usesDevice: whether the driver talks to a device that is open, which no filter can look into.
    ///   - commands: of `ioctl(2)`, that it has a use for besides.
    ///   - descriptors: how many it may have.
    ///   - memory: how many bytes of memory it may take from here on.
    /// - Throws: ``Failure``. The process may be confined in part then and had better end.
    public static func confineRenderer(
        usesDevice: Bool, commands: [UInt32] = [], descriptors: Int = 1024, memory: UInt64
    ) throws(Failure) {
        try step("forbid tracing") { () throws(Errno) in try shim(clinux_forbid_tracing()) }
        try giveUpPrivileges()
        for limit in ResourceLimit.ofRenderer(memory: memory, descriptors: descriptors) {
            try step("limit \(limit.resource) to \(limit.value)") { () throws(Errno) in try limit.apply() }
        }
        // A file that grows too long is an error for whoever writes it, not the end of the process.
        signal(SIGXFSZ, SIG_IGN)
        try step("filter system calls") { () throws(Errno) in
            try SystemCallFilter.ofRenderer(usesDevice: usesDevice, commands: commands).install()
        }
    }

    static func step(_ name: String, _ body: () throws(Errno) -> Void) throws(Failure) {
        do throws(Errno) { try body() } catch { throw Failure(step: name, error: error) }
    }

    /// Becomes another user with one group and no others, for good. `setgroups(2)`, `setresgid(2)`, `setresuid(2)`
    ///
    /// - Throws: what the kernel says; `.notPermitted` also when root could still be had back.
    public static func become(user: UInt32, group: UInt32) throws(Errno) {
        try shim(clinux_become(user, group))
        guard clinux_is_for_good(user, group) == 1 else { throw .notPermitted }
    }
}
