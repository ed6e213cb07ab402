import Foundation
import Glibc
import Lab
import Linux
import Programs
import Testing
import Waiting

extension GuestTests {
    /// The daemon on a host whose kernel has control groups of version 2 alone: in a guest, as its first service.
    @Suite(.serialized) struct ControlGroupTests {
        private static let group = "/sys/fs/cgroup/system.slice/mediated.service"

        /// The folder of a daemon that has defined vGPUs which start by themselves, and has ended.
        private func prepare(_ scratch: Scratch, _ types: [(String, String)]) throws -> [String] {
            let root = scratch.path("host")
            try FileManager.default.createDirectory(atPath: "\(root)/run", withIntermediateDirectories: true)
            let process = Process()
            process.executableURL = try Program.folder.appendingPathComponent("mediated-daemon")
            process.arguments = ["--root", root]
            process.standardError = FileHandle.nullDevice
            try process.run()
            defer {
                process.terminate()
                process.waitUntilExit()
            }
            let socket = "\(root)/run/mediated.sock"
            // It is there once the daemon listens.
            try awaitChanges(in: "\(root)/run") { access(socket, F_OK) == 0 }
            return try types.map { uuid, type in
                let body =
                    #"{"parent":"cpu","type":"\#(type)","uuid":"\#(uuid)","autostart":true,"attributes":{"weight":"250"}}"#
                let connection = try UnixSocket(connectingTo: socket, within: .seconds(10))
                let request = """
                    POST /v1/vgpus HTTP/1.1\r
                    host: x\r
                    connection: close\r
                    content-type: application/json\r
                    content-length: \(body.utf8.count)\r
                    \r
                    \(body)
                    """
                try connection.send(Array(request.utf8).span.bytes)
                let answer = String(decoding: try connection.descriptor.readBytes(upTo: 1 << 16), as: UTF8.self)
                try #require(answer.hasPrefix("HTTP/1.1 201"), "\(answer)")
                return "\(Self.group)/vgpu-\(uuid)"
            }
        }

        @Test(arguments: ["6.1", "6.12"])
        func aVGPUIsBoundedByItsOwnGroupAndEndsAlone(kernel: String) throws {
            let scratch = try Scratch()
            let groups = try prepare(
                scratch,
                [
                    ("11111111-1111-4111-8111-111111111111", "bochs-display"),
                    ("22222222-2222-4222-8222-222222222222", "exerciser"),
                ])
            var files = GuestFiles()
            let daemon = try Program.folder.appendingPathComponent("mediated-daemon")
            for program in ["mediated-daemon", "mediated-device"] {
                try files.add(program: try Program.folder.appendingPathComponent(program))
            }
            for suffix in ["", "-wal"] where access("\(scratch.path("host"))/state/mediated.db\(suffix)", F_OK) == 0 {
                try files.add(
                    file: "\(scratch.path("host"))/state/mediated.db\(suffix)", at: "/m/state/mediated.db\(suffix)")
            }
            let unit = Repository.file("Packaging/systemd/mediated.service.in")
            try files.add(file: unit.path, at: "/m/mediated.service")
            try files.write(
                after: Lab.value("INITRD_\(kernel.replacingOccurrences(of: ".", with: "_"))"),
                to: scratch.path("initrd"))
            let machine = try Machine(
                devices: [], boot: Lab.boot(kernel) + ["-initrd", scratch.path("initrd")],
                machine: ["-machine", "q35", "-m", "1G"])
            try machine.awaitReady()

            func check(_ command: String, _ expected: String, sourceLocation: SourceLocation = #_sourceLocation) throws
            {
                let output = try machine.run(command).output
                #expect(output == expected, "\(command)", sourceLocation: sourceLocation)
            }
            func wait(until condition: String) throws {
                let outcome = try machine.run(
                    "for i in $(seq 300); do \(condition) && exit 0; usleep 100000; done; cat /m/out; exit 1")
                try #require(outcome.status == 0, "\(condition): \(outcome.output)")
            }
            // What systemd does: a group with controllers, and the daemon in it.
            try machine.run("mount -t cgroup2 none /sys/fs/cgroup; mkdir -p \(Self.group); ip link set lo up")
            for folder in ["/sys/fs/cgroup", "/sys/fs/cgroup/system.slice"] {
                try machine.run("echo +cpu +memory +pids >\(folder)/cgroup.subtree_control")
            }
            let start = "(echo 0 >\(Self.group)/cgroup.procs && exec \(daemon.path) --root /m >>/m/out 2>&1) &"
            try machine.run(start)
            for group in groups { try wait(until: "[ -n \"$(cat \(group)/cgroup.procs)\" ]") }
            try wait(until: "grep -q Serving /m/out")
            try check("cat \(Self.group)/cgroup.subtree_control", "cpu memory pids")
            try check("cat \(Self.group)/daemon/cgroup.procs", try machine.run("pidof mediated-daemon").output)
            try check("cat \(groups[0])/cpu.weight \(groups[0])/memory.oom.group \(groups[0])/pids.max", "250\n1\n256")
            try check("cat \(groups[0])/memory.max", "\((256 + 256 + 2 * 16) << 20)")
            try check("cat \(groups[1])/memory.max", "\((256 + 256) << 20)")

            // Too much memory: shared, so that no limit of the process itself counts it.
            let first = try machine.run("cat \(groups[0])/cgroup.procs").output
            let second = try machine.run("cat \(groups[1])/cgroup.procs").output
            try machine.run("echo 64M >\(groups[0])/memory.max; mkdir -p /dev/shm; mount -t tmpfs none /dev/shm")
            let greedy = "sh -c 'echo 0 >\(groups[0])/cgroup.procs; head -c 128m /dev/zero >/dev/shm/x'"
            let outcome = try machine.run(greedy)
            #expect(outcome.status == 137, "\(outcome)")
            try machine.run("rm /dev/shm/x")
            try wait(
                until:
                    "[ \"$(cat \(groups[0])/cgroup.procs)\" != '\(first)' ] && [ -n \"$(cat \(groups[0])/cgroup.procs)\" ]"
            )
            try check("cat \(groups[1])/cgroup.procs", second)
            try check("cat \(groups[0])/memory.max", "\((256 + 256 + 2 * 16) << 20)")

            // The daemon dies and comes back, as systemd starts it: no process can be put beside groups with
            // controllers before the unit's preparation, which runs in a group of its own.
            let third = try machine.run("cat \(groups[0])/cgroup.procs").output
            try machine.run("kill -9 $(pidof mediated-daemon); rm /m/out; touch /m/out")
            #expect(try machine.run("echo $$ >\(Self.group)/cgroup.procs").status != 0)
            try machine.run(
                "sed -n 's/^ExecStartPre=-//p' /m/mediated.service | sed 's/[$][$]/$/g; s/\\\\\\\\/\\\\/g' >/m/prepare")
            try machine.run(
                "mkdir \(Self.group)/.control; sh -c 'echo 0 >\(Self.group)/.control/cgroup.procs; . /m/prepare'")
            try check("cat \(Self.group)/cgroup.subtree_control; rmdir \(Self.group)/.control", "")
            try machine.run(start)
            try wait(until: "grep -q Serving /m/out")
            try check("cat \(groups[0])/cgroup.procs \(groups[1])/cgroup.procs", "\(third)\n\(second)")
            try check("cat \(groups[0])/cpu.weight \(groups[1])/memory.max", "250\n\((256 + 256) << 20)")
        }
    }
}
