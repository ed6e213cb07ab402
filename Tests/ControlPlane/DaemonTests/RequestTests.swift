import FakeDomains
import Foundation
import Glibc
import JSON
import Linux
import RunningDaemon
import Testing

extension DaemonTests {
    /// What the daemon answers, and what it refuses.
    @Suite struct RequestTests {
        let daemon: RunningDaemon

        init() throws { daemon = try RunningDaemon() }

        @Test func aDefinedVGPUIsStartedWatchedAndStopped() throws {
            let id = try daemon.define("bochs-display", ("attributes", ["vram": "8M"]))
            #expect(try daemon.vgpu(id)["state"] == "stopped")

            let started = try daemon.request("POST", "/v1/vgpus/\(id)/start")
            #expect(started.status == 200 && started.json["state"] == "running", "\(started)")
            let socket = try #require(started.json["socket"]?.string)
            #expect(FileManager.default.fileExists(atPath: socket))
            let pid = try #require(started.json["pid"]?.int)
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)/info").json["process"]?.int == pid)
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)/statistics").json["uptimeSeconds"] != nil)
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)/log").json["lines"]?.array?.isEmpty == false)

            let stopped = try daemon.request("POST", "/v1/vgpus/\(id)/stop")
            #expect(stopped.status == 200 && stopped.json["state"] == "stopped" && stopped.json["pid"] == nil)
            #expect(!FileManager.default.fileExists(atPath: "/proc/\(pid)/exe"))
            #expect(try daemon.request("DELETE", "/v1/vgpus/\(id)").status == 204)
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)").status == 404)
        }

        @Test func aTransientVGPUIsGoneWhenItStops() throws {
            let id = try daemon.define("exerciser", ("transient", true))
            #expect(try daemon.vgpu(id)["state"] == "running")
            #expect(try daemon.request("POST", "/v1/vgpus/\(id)/stop").status == 200)
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)").status == 404)
        }

        @Test func aStopCanNameTheStartThatItEnds() throws {
            let id = try daemon.define()
            let path = "/v1/vgpus/\(id)"
            #expect(try daemon.vgpu(id)["generation"] == nil)
            let first = try #require(try daemon.request("POST", "\(path)/start").json["generation"]?.int)
            #expect(try daemon.request("POST", "\(path)/stop?generation=\(first)").status == 200)
            let second = try #require(try daemon.request("POST", "\(path)/start").json["generation"]?.int)
            let late = try daemon.request("POST", "\(path)/stop?generation=\(first)")
            #expect(late.status == 409 && late.detail.contains("since its start \(second): every earlier"), "\(late)")
            let never = try daemon.request("POST", "\(path)/stop?generation=99")
            #expect(never.status == 409 && never.detail.contains("it has had no start 99"), "\(never)")
            #expect(try daemon.vgpu(id)["state"] == "running")
            #expect(try daemon.request("POST", "\(path)/stop?generation=x").status == 400)
        }

        @Test func typesSayHowManyMoreThereCanBe() throws {
            func available() throws -> Int? {
                let types = try daemon.request("GET", "/v1/types").json["types"]?.array
                return types?.first { $0["name"] == "bochs-display" }?["parents"]?[0]?["availableInstances"]?.int
            }
            let before = try #require(try available())
            let id = try daemon.define("bochs-display")
            #expect(try available() == before)
            try daemon.request("POST", "/v1/vgpus/\(id)/start")
            #expect(try available() == before - 1)
        }

        @Test func monitorsComeAndGo() throws {
            let id = try daemon.define("virtio-gpu", ("transient", true))
            let path = "/v1/vgpus/\(id)/monitors"
            #expect(try daemon.request("PUT", "\(path)/0", ["width": 1280, "height": 720]).status == 204)
            #expect(try daemon.request("DELETE", "\(path)/0").status == 204)
            for (method, head, body, status) in [
                ("PUT", "1", ["width": 1280, "height": 720], 409), ("DELETE", "15", nil, 409),
                ("PUT", "0", ["width": 1280, "height": 100], 409), ("PUT", "0", ["width": 0, "height": 720], 400),
                ("PUT", "0", ["width": 1280, "height": 65536], 400), ("PUT", "0", ["width": 1280], 400),
                ("PUT", "0", ["width": 1280, "height": 720, "depth": 8], 400), ("DELETE", "16", nil, 400),
                ("DELETE", "first", nil, 400), ("PUT", "0", nil, 415), ("GET", "0", nil, 405),
            ] as [(String, String, JSON?, Int)] {
                let answer = try daemon.request(method, "\(path)/\(head)", body)
                #expect(answer.status == status, "\(method) \(head) \(body ?? .null): \(answer)")
            }
            let other = try daemon.define("bochs-display", ("transient", true))
            #expect(try daemon.request("DELETE", "/v1/vgpus/\(other)/monitors/0").status == 409)
        }

        @Test func eventsAreWaitedFor() throws {
            let last = try #require(try daemon.request("GET", "/v1/events").json["last"]?.int)
            let connection = try UnixSocket(connectingTo: daemon.socket)
            let request = Array(
                "GET /v1/events?wait=50&after=\(last) HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".utf8)
            try connection.send(request.span.bytes)
            let id = try daemon.define()
            let page = try HTTPExchange(answerOf: connection).json
            #expect(page["events"]?.array?.map { $0["kind"] } == ["defined"])
            #expect(page["events"]?[0]?["vgpu"]?.string == id)
        }

        @Test func theMetricsHaveEveryVGPUAndTheDaemon() throws {
            let id = try daemon.define("exerciser", ("transient", true))
            let page = try daemon.request("GET", "/metrics")
            #expect(page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            for line in [
                "mediated_vgpu_up{vgpu=\"\(id)\"} 1",
                "mediated_vgpu_state{vgpu=\"\(id)\",type=\"exerciser\",state=\"running\"} 1",
                "mediated_vgpu_restarts_total{vgpu=\"\(id)\",type=\"exerciser\"} 0", "mediated_daemon_info{version=",
                "process_open_fds ", "mediated_parent_video_memory_left_bytes{parent=\"cpu\"} ",
            ] {
                #expect(page.text.contains(line), "\(line)")
            }
        }

        @Test func administratorsTypesAreOffered() throws {
            let daemon = try RunningDaemon(
                types: """
                    parents:
                      - name: cpu
                        video-memory: 64M
                    types:
                      - name: small
                        description: A small display
                        device: bochs-display
                        vram: 8M
                    """)
            let types = try daemon.request("GET", "/v1/types").json["types"]?.array
            let small = types?.first { $0["name"] == "small" }
            #expect(small?["parents"]?[0]?["availableInstances"] == 8, "\(small ?? .null)")
            let id = try daemon.define("small")
            #expect(try daemon.request("POST", "/v1/vgpus/\(id)/start").status == 200)
        }

        // MARK: Domains

        @Test func aVGPUInADomainIsShownThere() throws {
            let domains = try FakeDomains()
            try domains.make(5)
            let daemon = try RunningDaemon(
                by: ["mediated-daemon"], in: domains.folder(with: "mediated-daemon"), types: nil, isStarted: true)
            let id = try daemon.define("exerciser", ("transient", true))
            let path = "/v1/vgpus/\(id)"
            let attached = try daemon.request("POST", "\(path)/attach", ["domain": 5])
            #expect(attached.status == 200, "\(attached)")
            #expect(attached.json["domain"] == ["number": 5, "slot": "00:10.0"] && attached.json["socket"] == nil)
            #expect(try daemon.vgpu(id) == attached.json)
            let labels = "vgpu=\"\(id)\",type=\"exerciser\",domain=\"5\",slot=\"00:10.0\""
            #expect(try daemon.request("GET", "/metrics").text.contains("mediated_vgpu_domain{\(labels)} 1\n"))
            #expect(try daemon.request("POST", "\(path)/attach", ["domain": 5]).status == 409)

            let detached = try daemon.request("POST", "\(path)/detach")
            #expect(detached.status == 200 && detached.json["domain"] == nil, "\(detached)")
            #expect(FileManager.default.fileExists(atPath: try #require(detached.json["socket"]?.string)))
            #expect(try !daemon.request("GET", "/metrics").text.contains("mediated_vgpu_domain{"))
            let named = try daemon.request("POST", "\(path)/attach", ["domain": 5, "slot": "01:1f.7"])
            #expect(named.json["domain"] == ["number": 5, "slot": "01:1f.7"], "\(named)")
            let gone = try daemon.define("serial", ("transient", true))
            #expect(try daemon.request("POST", "/v1/vgpus/\(gone)/attach", ["domain": 6]).status == 404)
        }

        @Test(.enabled(if: access("/dev/xen/privcmd", F_OK) != 0, "Xen is here."))
        func whatKeepsAVGPUOutOfADomainIsSaid() throws {
            let id = try daemon.define("serial", ("transient", true))
            let path = "/v1/vgpus/\(id)"
            for (verb, body, status, words) in [
                ("attach", nil, 415, "content type"), ("attach", [:], 400, "domain"),
                ("attach", ["domain": "5"], 400, "domain"), ("attach", ["domain": -1], 400, "domain"),
                ("attach", ["domain": 65536], 400, "domain"), ("attach", ["domain": 5, "slot": "5"], 400, "BB:DD.F"),
                ("attach", ["domain": 5, "slot": "00:20.0"], 400, "BB:DD.F"),
                ("attach", ["domain": 5, "x": 1], 400, "'x'"),
                ("attach", ["domain": 5, "slot": nil], 400, "'slot'"),
                ("attach", ["domain": 0], 422, "from 1 to 32751"),
                ("attach", ["domain": 32752], 422, "from 1 to 32751"),
                ("attach", ["domain": 5], 409, "Is this the domain 0 of a Xen"), ("detach", nil, 409, "in no slot"),
            ] as [(String, JSON?, Int, String)] {
                let answer = try daemon.request("POST", "\(path)/\(verb)", body)
                #expect(answer.status == status && answer.detail.contains(words), "\(verb) \(body ?? .null): \(answer)")
            }
            for verb in ["attach", "detach"] {
                let none = "/v1/vgpus/00000000-0000-4000-8000-000000000000/\(verb)"
                #expect(try daemon.request("POST", none, verb == "attach" ? ["domain": 5] : nil).status == 404)
                #expect(try daemon.request("GET", "\(path)/\(verb)").status == 405)
            }
            let vgpu = try daemon.vgpu(id)
            #expect(vgpu["state"] == "running" && vgpu["domain"] == nil && vgpu["restarts"] == 0)
        }

        // MARK: What is refused

        @Test(
            arguments: [
                ("GET", "/v1/nothing", nil, 404, "/v1/nothing"), ("PUT", "/v1/vgpus", nil, 405, "GET, POST"),
                ("GET", "/v1/vgpus/x", nil, 400, "'x' is no UUID"),
                (
                    "GET", "/v1/vgpus/00000000-0000-4000-8000-000000000000", nil, 404,
                    "00000000-0000-4000-8000-000000000000"
                ),
                ("GET", "/v1/events?limit=0", nil, 400, "'limit' is '0'"),
                ("GET", "/v1/events?since=abc", nil, 400, "'since', but can have only after, limit"),
                ("GET", "/v1/status?x", nil, 400, "'x', but can have none"),
                (
                    "POST", "/v1/vgpus",
                    #"{"parent":"cpu","type":"virtio-gpu","attributes":{"render-node":"/etc/shadow"}}"#, 422,
                    "'render-node'"
                ), ("GET", "/v1/%zz", nil, 400, "'%'"),
                ("GET", "/v1/%ff", nil, 400, "UTF-8"),
                ("POST", "/v1/vgpus", "{", 400, "JSON"), ("POST", "/v1/vgpus", "[]", 400, "object"),
                ("POST", "/v1/vgpus", #"{"parent":"cpu"}"#, 400, "type"),
                ("POST", "/v1/vgpus", #"{"parent":"cpu","type":"exerciser","x":1}"#, 400, "'x'"),
                ("POST", "/v1/vgpus", #"{"parent":"cpu","type":"exerciser","uuid":null}"#, 400, "'uuid'"),
                ("POST", "/v1/vgpus", #"{"parent":"cpu","type":"exerciser","owner":{"x":1}}"#, 400, "'x'"),
                ("POST", "/v1/vgpus", #"{"parent":"cpu","type":"exerciser","owner":{"user":-1}}"#, 400, "-1"),
                ("POST", "/v1/vgpus", #"{"parent":"cpu","type":"nothing"}"#, 422, "'nothing'"),
                ("POST", "/v1/vgpus", #"{"parent":"gpu","type":"exerciser"}"#, 422, "'gpu'"),
                ("POST", "/v1/vgpus", #"{"parent":"cpu","type":"bochs-display","attributes":{"x":"1"}}"#, 422, "'x'"),
                (
                    "POST", "/v1/vgpus", #"{"parent":"cpu","type":"bochs-display","attributes":{"weight":"0"}}"#, 422,
                    "'0'"
                ),
                (
                    "POST", "/v1/vgpus", #"{"parent":"cpu","type":"bochs-display","attributes":{"vram":"999G"}}"#, 409,
                    "cpu"
                ),
            ] as [(String, String, String?, Int, String)])
        func aBadRequestIsToldWhatIsWrong(
            method: String, path: String, body: String?, status: Int, words: String
        ) throws {
            let answer = try HTTPExchange(
                method, path, body: body.map { Array($0.utf8) }, contentType: body == nil ? nil : "application/json",
                over: daemon.socket)
            #expect(answer.status == status)
            #expect(answer.headers["content-type"] == "application/problem+json")
            #expect(answer.detail.contains(words) && answer.detail.hasSuffix("."), "\(answer)")
            #expect(try daemon.request("GET", "/v1/vgpus").json["vgpus"] == [])
        }

        @Test func whatDoesNotFitTheStateIsAConflict() throws {
            let id = try daemon.define()
            #expect(try daemon.request("POST", "/v1/vgpus/\(id)/stop").status == 409)
            #expect(try daemon.request("GET", "/v1/vgpus/\(id)/info").status == 409)
            #expect(try daemon.request("POST", "/v1/vgpus/\(id)/start").status == 200)
            #expect(try daemon.request("POST", "/v1/vgpus/\(id)/start").status == 409)
            #expect(try daemon.patch(id, ["type": "serial"]).status == 409)
            let again = try daemon.request(
                "POST", "/v1/vgpus", ["parent": "cpu", "type": "exerciser", "uuid": .string(id)])
            #expect(again.status == 409 && again.detail.contains(id))
            // An exerciser shows nothing.
            let screenshot = try daemon.request("GET", "/v1/vgpus/\(id)/screenshot")
            #expect(screenshot.status == 404 || screenshot.status == 409, "\(screenshot)")
        }

        @Test func aRunningVGPUsLimitsChangeAtOnce() throws {
            let id = try daemon.define("bochs-display", ("transient", true), ("attributes", ["aperture": "64M"]))
            let pid = try #require(try daemon.vgpu(id)["pid"]?.int)
            let changed = try daemon.patch(
                id, ["attributes": ["vram": "32M", "frame-rate": "10", "weight": "50"], "autostart": true])
            #expect(changed.status == 200, "\(changed)")
            #expect(changed.json["attributes"]?["vram"] == "32M" && changed.json["pid"]?.int == pid)
            #expect(
                try daemon.request("GET", "/v1/vgpus/\(id)/statistics").json["videoMemoryQuota"]?.int == 32 << 20)
            let removed = try daemon.patch(id, ["attributes": ["weight": nil]])
            #expect(removed.json["attributes"]?["weight"] == nil, "\(removed)")
        }
    }
}
