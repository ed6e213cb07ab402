import FakeGuest
import Foundation
import Glibc
import JSON
import Linux
import RunningDaemon
import Testing

extension DaemonTests {
    /// Clients of the control socket that mean no good, or have no right.
    @Suite struct HostileTests {
        let daemon: RunningDaemon

        init() throws { daemon = try RunningDaemon() }

        /// The socket lets nobody in; even where somebody opens it, the daemon looks who comes.
        @Test(.enabled(if: geteuid() == 0, "Only root can be somebody else."))
        func aStrangerIsRefusedAndTold() throws {
            #expect(try status(of: daemon.socket) & 0o777 == 0o600)
            chmod(daemon.socket, 0o666)
            let path = daemon.socket
            let answer = try asStranger { try HTTPExchange("GET", "/v1/vgpus", over: path) }
            #expect(answer.status == 403 && answer.json["code"] == "forbidden", "\(answer)")
            #expect(answer.detail.contains("65534"))
            let denied = try daemon.event("denied")
            #expect(denied["message"]?.string?.contains("65534") == true)

            let again = try asStranger { try HTTPExchange("DELETE", "/v1/vgpus/x", over: path) }
            #expect(again.status == 403)
            // Once is enough for the journal: they may come as often as they like.
            let events = try daemon.request("GET", "/v1/events").json["events"]?.array ?? []
            #expect(events.count { $0["kind"] == "denied" } == 1)
        }

        @Test(.enabled(if: geteuid() == 0, "Only root can be somebody else."))
        func aStrangerFindsNothingOfAVGPU() throws {
            let id = try daemon.define("exerciser", ("transient", true))
            let socket = try #require(try daemon.vgpu(id)["socket"]?.string)
            let control = "\(daemon.root)/run/control/\(id).sock"
            for path in [socket, control] {
                #expect(throws: Errno.permissionDenied) {
                    try asStranger { _ = try UnixSocket(connectingTo: path) }
                }
            }
        }

        @Test(.enabled(if: geteuid() == 0, "Only root can be somebody else."))
        func anOwnerMayBeTheClientAndNothingElse() throws {
            let id = try daemon.define("exerciser", ("transient", true), ("owner", ["user": 65534]))
            let socket = try #require(try daemon.vgpu(id)["socket"]?.string)
            try asStranger { _ = try UnixSocket(connectingTo: socket) }
            let control = daemon.socket
            #expect(throws: Errno.permissionDenied) { try asStranger { _ = try UnixSocket(connectingTo: control) } }
        }

        @Test func aBodyThatIsTooLargeIsRefused() throws {
            let head = "POST /v1/vgpus HTTP/1.1\r\nhost: x\r\ncontent-length: 1048577\r\nconnection: close\r\n\r\n"
            let answer = try HTTPExchange(
                Array(head.utf8) + Array(repeating: 32, count: 1 << 20 + 1), over: daemon.socket)
            #expect(answer.status == 413)
            try answersOthers()
        }

        @Test(arguments: [
            "\0\0\0\0", "GET\r\n\r\n", "GET /v1/status HTTP/9.9\r\n\r\n",
            "GET x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        ])
        func nonsenseIsRefused(text: String) throws {
            let answer = try HTTPExchange(Array(text.utf8), over: daemon.socket)
            #expect(answer.status == 400)
            try answersOthers()
        }

        /// A JSON text may be deep, or have names that take long to compare.
        @Test func aBodyThatIsHardToReadHoldsNobodyUp() throws {
            let deep = String(repeating: "[", count: 500_000)
            let long =
                "{"
                + (0..<2000).map { "\"\(String(repeating: "a\u{301}", count: 100))\($0)\":1" }
                .joined(separator: ",") + "}"
            let marks = String(repeating: "\u{301}\u{323}", count: 200_000)
            for body in [deep, long, "{\"attributes\":{\"a\(marks)\":\"x\"}}", "{\"u\(marks)\":1}"] {
                let answer = try HTTPExchange(
                    "POST", "/v1/vgpus", body: Array(body.utf8), contentType: "application/json", over: daemon.socket)
                #expect(answer.status == 400)
                try answersOthers()
            }
        }

        @Test(arguments: ["/v1/%/x", "/v1/status?%=1", "/v1/vgpus/%"])
        func aPathThatIsHardToCompareIsRefused(pattern: String) throws {
            let path = pattern.replacing("%", with: String(repeating: "%CC%81%CC%A3", count: 5000))
            let answer = try daemon.request("GET", path)
            #expect(answer.status == 400 && answer.detail.contains("combining"), "\(answer)")
        }

        @Test func connectionsThatSayNothingAreBoundedAndOthersAreServed() throws {
            var held: [Int32] = []
            defer { for descriptor in held { close(descriptor) } }
            for count in 0..<200 {
                guard let connection = try? UnixSocket(connectingTo: daemon.socket, within: .seconds(10)) else { break }
                // A half request, on every other one.
                if count.isMultiple(of: 2) {
                    let half = Array("POST /v1/vgpus HTTP/1.1\r\ncontent-length: 9\r\n\r\n{".utf8)
                    try? connection.send(half.span.bytes)
                }
                held.append(connection.relinquish())
            }
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.process)/fd").count
            #expect(open < 64 + 64)
            for descriptor in held { close(descriptor) }
            held = []
            try daemon.awaitAnswer()
            try answersOthers()
        }

        @Test func pollersThatLeaveCostNothing() throws {
            let before = try descriptors()
            for _ in 0..<100 {
                let connection = try UnixSocket(connectingTo: daemon.socket, within: .seconds(10))
                let request = Array("GET /v1/events?wait=1&after=99 HTTP/1.1\r\nhost: x\r\n\r\n".utf8)
                // Those beyond the limit are closed at once.
                try? connection.send(request.span.bytes)
            }
            try daemon.awaitAnswer()
            // Another process's descriptors close without an event.
            let deadline = Deadline(after: .seconds(30))
            while try descriptors() > before + 2 {
                try #require(!deadline.hasPassed, "They stay open.")
                _ = try? waitReadable([], within: .milliseconds(20))
            }
        }

        private func descriptors() throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.process)/fd").count
        }

        private func answersOthers() throws {
            #expect(try daemon.request("GET", "/v1/status").status == 200)
        }

        private func status(of path: String) throws -> mode_t {
            var status = stat()
            try #require(stat(path, &status) == 0)
            return status.st_mode
        }
    }
}
