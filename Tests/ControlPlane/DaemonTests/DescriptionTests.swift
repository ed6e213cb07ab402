import Foundation
import Glibc
import Lab
import Linux
import Programs
import RunningDaemon
import Testing

extension DaemonTests {
    /// What Documentation/openapi.yaml says of the daemon.
    @Suite struct DescriptionTests {
        @Test(.enabled(if: Lab.hasSchemathesis, "'make lab' brings schemathesis."))
        func schemathesisFindsTheDaemonAsItIsDescribed() throws {
            let daemon = try RunningDaemon()
            _ = try daemon.define("bochs-display", ("transient", true))
            let gateway = try Gateway(to: daemon.socket)
            let documentation = Repository.file("Documentation").path
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Lab.value("SCHEMATHESIS_PYTHON"))
            process.arguments = [
                "-m", "schemathesis.cli", "--config-file", "\(documentation)/schemathesis.toml", "run",
                "\(documentation)/openapi.yaml", "--url", "http://127.0.0.1:\(gateway.port)", "--max-examples", "30",
                "--no-color",
                // How busy the machine is says nothing of the daemon, and the same code has the same outcome.
                "--request-timeout", "300", "--suppress-health-check", "all", "--generation-deterministic",
            ]
            // What it keeps lands where it is run.
            process.currentDirectoryURL = URL(fileURLWithPath: daemon.root)
            let output = Pipe()
            (process.standardOutput, process.standardError) = (output, output)
            try process.run()
            let report = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            let failures =
                report.firstRange(of: /= (ERRORS|FAILURES) =/).map { report[$0.lowerBound...] } ?? report[...]
            #expect(process.terminationStatus == 0, "\(failures.replacing("\n", with: " "))")
            #expect(report.contains("Tested: 21"), "\(report)")
            #expect(daemon.isRunning)
        }

        @Test(.enabled(if: Lab.isReady, "'make lab' brings promtool."))
        func promtoolFindsNothingWrongWithTheMetrics() throws {
            let daemon = try RunningDaemon()
            for type in ["exerciser", "bochs-display", "virtio-gpu"] {
                _ = try daemon.define(type, ("transient", true))
            }
            _ = try daemon.define("serial")
            let page = "\(daemon.root)/page"
            try daemon.request("GET", "/metrics").text.write(toFile: page, atomically: false, encoding: .utf8)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Lab.value("PROMTOOL"))
            process.arguments = ["check", "metrics"]
            process.standardInput = FileHandle(forReadingAtPath: page)
            let output = Pipe()
            (process.standardOutput, process.standardError) = (output, output)
            try process.run()
            let report = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 0 && report.isEmpty, "\(report)")
        }
    }
}

/// Makes a UNIX socket reachable by TCP on this host, for programs that know nothing else.
private final class Gateway {
    let port: UInt16
    private let process = Process()

    init(to socket: String) throws {
        // Both directions of each connection, by a thread each; the port is whatever is free.
        let program = """
            import socket, sys, threading
            server = socket.create_server(("127.0.0.1", 0))
            print(server.getsockname()[1], flush=True)
            def move(a, b):
                try:
                    while data := a.recv(65536):
                        b.sendall(data)
                    b.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            def serve(a):
                with a, socket.socket(socket.AF_UNIX) as b:
                    b.connect(sys.argv[1])
                    back = threading.Thread(target=move, args=(b, a), daemon=True)
                    back.start()
                    move(a, b)
                    back.join()
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
            """
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", program, socket]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        var line = Data()
        while line.last != UInt8(ascii: "\n") {
            let more = output.fileHandleForReading.availableData
            try #require(!more.isEmpty)
            line += more
        }
        port = try #require(UInt16(String(decoding: line.dropLast(), as: UTF8.self)))
    }

    deinit {
        // Not SIGTERM: a thread that has it blocked hands that on.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
