import Glibc
import JSON
import LingeringSocket
import Linux
import RunningDaemon
import Testing

extension DaemonTests {
    /// The daemon as a service of systemd.
    @Suite struct ServiceTests {
        private func ask(_ socket: String) throws -> UnixSocket {
            let connection = try UnixSocket(connectingTo: socket, within: .seconds(1))
            try connection.send(
                Array("GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".utf8).span.bytes)
            return connection
        }

        /// Those who connected before the daemon was there may have sent descriptors, and on kernels before Linux 6.16
        /// all may.
        @Test func whoeverSendsWhatHangsWhenItIsClosedKeepsNobodyWaiting() throws {
            let daemon = try RunningDaemon(isStarted: false)
            try #require(mkdir("\(daemon.root)/run", 0o755) == 0)
            let listener = try UnixListener(path: daemon.socket, leavesPath: true, takesDescriptors: true)
            var hanging: [LingeringSocket] = []
            for request in ["GET /v1/status HTTP/1.1\r\n", "GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n", "?"] {
                let connection = try UnixSocket(connectingTo: daemon.socket, within: .seconds(1))
                let socket = try LingeringSocket()
                try connection.send(Array(request.utf8).span.bytes, descriptors: [socket.raw, socket.raw])
                socket.handOver()
                hanging.append(socket)
            }
            let first = try ask(daemon.socket)
            try daemon.launch(preparing: "export LISTEN_PID=$$ LISTEN_FDS=1", passing: [listener.descriptor.raw])
            #expect(try HTTPExchange(answerOf: first).status == 200)
            for _ in 0..<3 { #expect(try HTTPExchange("GET", "/v1/status", over: daemon.socket).status == 200) }
            withExtendedLifetime(hanging) {}
        }

        private final class Connection: Sendable {
            let socket: UnixSocket

            init(_ socket: consuming UnixSocket) {
                self.socket = socket
            }
        }

        /// As on kernels before Linux 6.16, since the connections are made before the daemon is there.
        @Test(.enabled(if: geteuid() == 0, "Only root can connect as another user."))
        func aUserWhoSendsMoreThanCanBeClosedKeepsNoOtherWaiting() throws {
            let daemon = try RunningDaemon(isStarted: false)
            let path = daemon.socket
            try #require(mkdir("\(daemon.root)/run", 0o755) == 0)
            let listener = try UnixListener(
                path: path, mode: 0o666, backlog: 1024, leavesPath: true, takesDescriptors: true)
            let hanging = try LingeringSocket()
            // As many as one user may have, one more whose close hangs, and behind that more than a lane takes.
            let strangers = try asStranger {
                let open = try (0...64).map { _ in try Connection(UnixSocket(connectingTo: path)) }
                let byte: [UInt8] = [0x3f]
                try open[64].socket.send(byte.span.bytes, descriptors: [hanging.raw])
                hanging.handOver()
                for _ in 0..<ClosingLane.capacity { _ = try UnixSocket(connectingTo: path) }
                return open
            }
            let mine = try ask(path)
            try daemon.launch(preparing: "export LISTEN_PID=$$ LISTEN_FDS=1", passing: [listener.descriptor.raw])
            #expect(try HTTPExchange(answerOf: mine).status == 200)
            withExtendedLifetime((hanging, strangers)) {}
        }

        @Test func aSocketThatIsPassedHoldsClientsUntilTheDaemonIsThere() throws {
            let daemon = try RunningDaemon(isStarted: false)
            try #require(mkdir("\(daemon.root)/run", 0o755) == 0)
            let listener = try UnixListener(path: daemon.socket, leavesPath: true)
            let notifications = try Notifications(path: "\(daemon.root)/notify")
            let environment =
                "export LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET='\(notifications.path)' WATCHDOG_USEC=1 WATCHDOG_PID=1 MESA_DEBUG=silent"

            let first = try ask(daemon.socket)
            let second = try ask(daemon.socket)
            try daemon.launch(preparing: environment, passing: [listener.descriptor.raw])
            #expect(try HTTPExchange(answerOf: first).status == 200)
            #expect(try HTTPExchange(answerOf: second).status == 200)
            #expect(try notifications.next() == "READY=1")
            // Its device processes are not told that they have sockets of systemd's.
            let id = try daemon.define("exerciser", ("transient", true))
            let pid = try #require(try daemon.vgpu(id)["pid"]?.int)
            let inherited = try Descriptor(reading: "/proc/\(pid)/environ").readBytes(upTo: 1 << 20)
            let names = inherited.split(separator: 0).map { String(decoding: $0.prefix { $0 != 0x3d }, as: UTF8.self) }
            #expect(
                names.filter { $0.hasPrefix("LISTEN_") || $0.hasPrefix("WATCHDOG_") || $0 == "NOTIFY_SOCKET" } == [])
            #expect(names.contains("MESA_DEBUG"), "what an administrator sets for drivers is passed on")

            #expect(daemon.kill(SIGTERM) == 0)
            #expect(try notifications.next() == "STOPPING=1")
            // The socket is systemd's, and goes on taking clients.
            let third = try ask(daemon.socket)
            try daemon.launch(preparing: environment, passing: [listener.descriptor.raw])
            #expect(try HTTPExchange(answerOf: third).status == 200)
            #expect(try notifications.next() == "READY=1")
            #expect(try daemon.vgpu(id)["pid"]?.int == pid)
        }

        @Test func variablesForAnotherProcessAreIgnored() throws {
            let daemon = try RunningDaemon(isStarted: false)
            // Descriptor 3 is no socket, and meant for another process.
            let file = try Descriptor(reading: "/dev/null")
            try daemon.start(preparing: "export LISTEN_PID=1 LISTEN_FDS=1", passing: [file.raw])
            #expect(try daemon.request("GET", "/v1/status").status == 200)
        }

        @Test func whatIsPassedMustBeAListeningSocket() throws {
            let daemon = try RunningDaemon(isStarted: false)
            let file = try Descriptor(reading: "/dev/null")
            try daemon.launch(preparing: "export LISTEN_PID=$$ LISTEN_FDS=1", passing: [file.raw])
            #expect(daemon.wait() == 1 << 8)
            #expect(daemon.log.contains("control socket"), "\(daemon.log)")
        }

        // MARK: Control groups

        /// The kernel's own, where there is one and it may be changed.
        private static let group = (try? ControlGroup.ofThisProcess()).flatMap { geteuid() == 0 ? $0 : nil }

        @Test(.enabled(if: group != nil))
        func eachVGPUHasAControlGroupWhichTheNextDaemonFinds() throws {
            let daemon = try RunningDaemon(isStarted: false)
            let group = try #require(Self.group).child("mediated-daemon-test-\(getpid())")
            try group.make()
            defer {
                try? group.write("1", to: "cgroup.kill")
                daemon.kill(SIGKILL)
                for name in group.children { try? group.child(name).remove() }
                try? group.remove()
            }
            // As systemd does with a service whose Delegate= is set.
            let delegated = "echo $$ >'\(group.path)/cgroup.procs'"
            try daemon.start(preparing: delegated)
            #expect(try group.child("daemon").processes == [daemon.process])
            #expect(try group.processes == [])
            let id = try daemon.define("exerciser", ("transient", true))
            let pid = Int32(try #require(try daemon.vgpu(id)["pid"]?.int))
            #expect(try group.child("vgpu-\(id)").processes == [pid])
            // With the renderer, and what starts that.
            let renders = try daemon.define("virtio-gpu", ("transient", true), ("parent", "software"))
            #expect(try group.child("vgpu-\(renders)").processes.count == 3)
            #expect(try daemon.request("POST", "/v1/vgpus/\(renders)/stop").status == 200)

            daemon.kill(SIGKILL)
            let left = group.child("vgpu-00000000-0000-4000-8000-000000000000")
            try left.make()
            // Controllers of the vGPUs that run keep processes from being put beside them, until they are taken away.
            for controller in ["cpu", "memory", "pids"] {
                try? group.write("-\(controller)", to: "cgroup.subtree_control")
            }
            try daemon.start(preparing: delegated)
            #expect(try group.child("daemon").processes == [daemon.process])
            #expect(try group.child("vgpu-\(id)").processes == [pid])
            #expect(Set(group.children) == ["daemon", "vgpu-\(id)"])

            #expect(try daemon.request("POST", "/v1/vgpus/\(id)/stop").status == 200)
            #expect(group.children == ["daemon"])
        }
    }
}
