import Glibc
import Linux
import Testing

@Suite struct ControlGroupTests {
    private static let mount = "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw"

    @Test(arguments: [
        ("0::/system.slice/x.service", mount, "/sys/fs/cgroup/system.slice/x.service"),
        ("0::/", mount, "/sys/fs/cgroup"),
        // Beside version 1.
        (
            "3:cpu:/a\n0::/b", "9 1 0:3 / /c/cpu rw - cgroup cgroup rw,cpu\n9 1 0:4 / /c/unified rw - cgroup2 none rw",
            "/c/unified/b"
        ),
        // Part of the tree is mounted, as in a container.
        ("0::/pod/x/y", "9 1 0:4 /pod/x /c rw - cgroup2 none rw", "/c/y"),
        ("0::/pod/x", "9 1 0:4 /pod/x /c rw - cgroup2 none rw", "/c"),
        ("0::/a", #"9 1 0:4 / /with\040space rw - cgroup2 none rw"#, "/with space/a"),
    ])
    func aProcessIsFoundInItsGroup(membership: String, mounts: String, path: String) {
        #expect(ControlGroup(membership: membership, mounts: mounts)?.path == path)
    }

    @Test(arguments: [
        ("1:cpu:/a", mount), ("", mount), ("0::/a", ""), ("0::/a", "9 1 0:3 / /c rw - cgroup cgroup rw,cpu"),
        // Outside of what this process may see.
        ("0::/../a", mount), ("0::/pod/xx", "9 1 0:4 /pod/x /c rw - cgroup2 none rw"),
        ("nonsense", "nonsense - cgroup2"), ("0::/a", "1 2 3 4 5 6 7 -"),
    ])
    func aGroupThatCannotBeSeenIsNone(membership: String, mounts: String) {
        #expect(ControlGroup(membership: membership, mounts: mounts) == nil)
    }

    /// The kernel's own, where there is one and it may be changed.
    private static let own = (try? ControlGroup.ofThisProcess()).flatMap { geteuid() == 0 ? $0 : nil }

    @Test(.enabled(if: own != nil))
    func aGroupIsMadeGetsAProcessAndIsRemovedWhenThatIsGone() throws {
        let group = try #require(Self.own).child("mediated-test-\(getpid())")
        try group.make()
        try group.make()
        defer { try? group.remove() }
        #expect(group.isWritable && group.parent == Self.own)
        #expect(Self.own?.children.contains(String(group.name)) == true)
        #expect(try group.processes == [])

        let process = try ChildProcess.spawn("/bin/sleep", ["60"], passing: [])
        defer { ChildProcess.end(process) }
        try group.add(process)
        #expect(try group.processes == [process])
        #expect(throws: Errno.resourceBusy) { try group.remove() }
        ChildProcess.end(process)
        try group.remove()
        #expect(throws: Errno.noSuchFileOrDirectory) { try group.read("cgroup.procs") }
        #expect(throws: Errno.noSuchFileOrDirectory) { try group.add(getpid()) }
        #expect(!group.isWritable && group.children == [])
    }
}
