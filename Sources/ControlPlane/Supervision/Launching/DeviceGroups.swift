import Glibc
import Linux
import Mediation

/// Control groups, one for each running vGPU, below the one that was delegated to this daemon: what a vGPU takes of the
/// processor and of memory is its own affair then.
///
/// The daemon itself goes into a group beside them, `daemon`, as a group with controllers for others can't have
/// processes of its own. Linux Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint"
struct DeviceGroups: Sendable {
    /// What vGPUs' groups are in.
    let root: ControlGroup
    /// The controllers that they have: some of ``wanted``.
    let controllers: Set<String>

    /// `io` for its accounts alone: `io.stat`.
    private static let wanted: Set<String> = ["cpu", "io", "memory", "pids"]

    private static let own = "daemon"
    private static let prefix = "vgpu-"

    /// Takes over a group that is delegated to this process: one that it may write to and is alone in. Any other isn't
    /// its to change, such as that of a terminal in which it was started.
    ///
    /// - Parameters:
    ///   - group: the one that the process is in, or was told to use.
    ///   - process: this one.
    /// - Returns: nil when it is delegated to nobody, or the kernel doesn't let the process move.
    init?(_ group: ControlGroup, of process: Int32) {
        // An earlier daemon, or systemd, has put this one there already.
        let root = group.name == Self.own && group.parent.isWritable ? group.parent : group
        let own = root.child(Self.own)
        do throws(Errno) {
            guard root.isWritable, try root.processes.allSatisfy({ $0 == process }) else { return nil }
            try own.make()
            try own.add(process)
            let available = try root.read("cgroup.controllers").split(separator: " ").map(String.init)
            controllers = Set(
                available.filter { name in
                    // One that is in use elsewhere, or isn't delegated, can't be had.
                    Self.wanted.contains(name)
                        && (try? root.write("+\(name)", to: "cgroup.subtree_control")) != nil
                })
        } catch {
            return nil
        }
        self.root = root
    }

    private func group(of id: InstanceID) -> ControlGroup { root.child("\(Self.prefix)\(id)") }

    /// What a vGPU's group is told, by file.
    private func settings(_ limits: Limits) -> [(controller: String, file: String, value: String)] {
        let bounds = MemoryBounds(limits)
        return [
            ("cpu", "cpu.weight", "\(limits.weight)"),
            ("memory", "memory.max", "\(bounds.shared)"),
            // A device process without its renderer is of no use, nor the other way round.
            ("memory", "memory.oom.group", "1"),
            ("pids", "pids.max", "\(bounds.threads)"),
        ].filter { controllers.contains($0.0) }
    }

    /// Puts a device process into the group of its vGPU, under its limits.
    func add(_ process: Int32, to id: InstanceID, _ limits: Limits) throws(Errno) {
        try group(of: id).make()
        try apply(limits, to: id)
        try add(process, to: id)
    }

    /// Puts a process into the group of a vGPU that runs, which works for it. A device process that a daemon without
    /// groups has started has none yet.
    func add(_ process: Int32, to id: InstanceID) throws(Errno) {
        try group(of: id).make()
        try group(of: id).add(process)
    }

    /// Changes the limits of one that runs.
    func apply(_ limits: Limits, to id: InstanceID) throws(Errno) {
        for (_, file, value) in settings(limits) { try group(of: id).write(value, to: file) }
    }

    /// How often the kernel has ended a vGPU's processes for the memory that they took.
    func outOfMemoryKills(of id: InstanceID) -> Int {
        let lines: [Substring]
        do throws(Errno) { lines = try group(of: id).read("memory.events").split(separator: "\n") } catch {
            // Without the controller nobody counts.
            return 0
        }
        let count = lines.first { $0.hasPrefix("oom_kill ") }?.split(separator: " ").last
        return count.flatMap { Int($0) } ?? 0
    }

    /// Removes the group of a vGPU whose device process has ended, with whatever that has left running.
    func remove(_ id: InstanceID) {
        remove(group(of: id))
    }

    /// Removes those that other vGPUs than these have left.
    func removeAll(but known: Set<InstanceID>) {
        let names = Set(known.map { "\(Self.prefix)\($0)" })
        for name in root.children where name.hasPrefix(Self.prefix) && !names.contains(name) {
            remove(root.child(name))
        }
    }

    /// A process that takes its time to end keeps the group, which the vGPU's next start uses again and the next daemon
    /// removes.
    private func remove(_ group: ControlGroup) {
        do throws(Errno) { try group.write("1", to: "cgroup.kill") } catch {
            // There is no such group, or the kernel is older than 5.14; what is left in it keeps it then.
        }
        do throws(Errno) { try group.remove() } catch {
            // As above.
        }
    }
}
