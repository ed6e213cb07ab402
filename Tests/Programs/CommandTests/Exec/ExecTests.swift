import FakeGuest
import Foundation
import Glibc
import Linux
import Programs
import Testing
import VFIOUserClient
import VTest

/// `mediated exec` and `mediated env`: programs of this host on vGPUs, with stock Mesa.
@Suite(.serialized) struct ExecTests {
    let scratch: Scratch
    let programs: ProgramRun

    init() throws {
        scratch = try Scratch()
        programs = try ProgramRun(in: scratch)
    }

    private func vGPU(_ name: String = "socket", vram: String = "256M") throws -> RunningDevice {
        try RunningDevice("virtio-gpu", "-o", "renderer=virgl", "-o", "vram=\(vram)", in: scratch, socket: name)
    }

    @Test func programsDrawAndComputeOnAVGPU() throws {
        let device = try vGPU()
        let scene = try programs.draw(device.socket, "scene", "320x240", "5")
        #expect(scene.status == 0, "\(scene.errors)")
        #expect(scene.output.contains("renderer virgl ("))
        #expect(scene.output.contains("scene 320x240: 0 pixels differ"), "\(scene.output)")
        let computing = try programs.draw(device.socket, "compute", "\(1 << 20)")
        #expect(computing.status == 0, "\(computing.errors)")
        #expect(computing.output.contains("compute \(1 << 20): 0 values wrong"), "\(computing.output)")
    }

    @Test func theProgramIsWhatWasStarted() throws {
        let device = try vGPU()
        let said = try programs.run(
            device.socket, "sh", "-c", "echo \"$0 $1\"; echo wrong >&2; exit 7", "one", "two words")
        #expect(said.status == 7)
        #expect(said.output == "one two words\n")
        #expect(said.errors == "wrong\n")
        #expect(try programs.run(device.socket, "sh", "-c", "kill -KILL $$").status == SIGKILL)
        let variables = try programs.run(device.socket, "env").output
        #expect(variables.contains("GALLIUM_DRIVER=virpipe\n") && variables.contains("LIBGL_ALWAYS_SOFTWARE=1\n"))
        // The bridge is none of its children, which it might wait for.
        let children = try programs.run(device.socket, "sh", "-c", "cat /proc/$$/task/$$/children; true")
        #expect(children.output.split(separator: " ").count <= 1, "\(children.output)")
    }

    @Test func severalProgramsShareAVGPUAndOnesDeathHarmsNone() throws {
        let device = try vGPU()
        let first = try ProgramRun.Endless(programs, device.socket)
        let second = try ProgramRun.Endless(programs, device.socket)
        let bridge = try #require(try ProgramRun.bridge(of: device.socket))
        for _ in 0..<3 {
            try first.draw()
            try second.draw()
        }
        first.kill()
        #expect(try !first.hasSucceeded())
        for _ in 0..<20 { try second.draw() }
        let third = try programs.draw(device.socket, "scene", "64x64", "2")
        #expect(third.status == 0, "\(third.errors)")
        #expect(try ProgramRun.bridge(of: device.socket) == bridge)
        second.kill()
    }

    /// More programs than one vGPU's memory has contexts for, one after the other.
    @Test func whatAProgramHadIsFree() throws {
        let device = try vGPU(vram: "24M")
        for _ in 0..<12 {
            let program = try ProgramRun.Endless(programs, device.socket)
            program.kill()
        }
        let scene = try programs.draw(device.socket, "scene", "64x64", "2")
        #expect(scene.status == 0, "\(scene.errors)")
    }

    @Test func twoVGPUsAtOnce() throws {
        let (first, second) = (try vGPU("first"), try vGPU("second"))
        let busy = try ProgramRun.Endless(programs, first.socket)
        let scene = try programs.draw(second.socket, "scene", "320x240", "3")
        #expect(scene.status == 0, "\(scene.errors)")
        first.kill()
        #expect(try !busy.hasSucceeded())
        #expect(try programs.draw(second.socket, "compute", "65536").status == 0)
    }

    @Test func memoryIsTheVGPUs() throws {
        let device = try vGPU(vram: "32M")
        let full = try programs.draw(device.socket, "fill", "40")
        let count = full.output.firstMatch(of: #/room for (\d+) pictures, then out of memory/#).flatMap { Int($0.1) }
        #expect(full.status == 3 && (1..<8).contains(count ?? 0), "\(full.output) \(full.errors)")
        // It was its own.
        #expect(try programs.draw(device.socket, "fill", "3").status == 0)
    }

    @Test func aKilledBridgeEndsItsProgramsAndTheNextGetsAnother() throws {
        let device = try vGPU()
        let program = try ProgramRun.Endless(programs, device.socket)
        let bridge = try #require(try ProgramRun.bridge(of: device.socket))
        kill(bridge, SIGKILL)
        #expect(try !program.hasSucceeded())
        let scene = try programs.draw(device.socket, "scene", "64x64", "2")
        #expect(scene.status == 0, "\(scene.errors)")
        #expect(try ProgramRun.bridge(of: device.socket) != bridge)
    }

    @Test func aKilledVGPUEndsProgramsAndBridge() throws {
        let device = try vGPU()
        let program = try ProgramRun.Endless(programs, device.socket)
        let bridge = try #require(try ProgramRun.bridge(of: device.socket))
        device.kill()
        #expect(try !program.hasSucceeded())
        #expect(try ProgramRun.awaitEnd(of: bridge))
        let late = try programs.draw(device.socket, "scene", "64x64", "2")
        #expect(late.status == 69 && late.errors.contains("Nobody listens at"), "\(late.errors)")
    }

    @Test func aVirtualMachineAndProgramsExcludeEachOther() throws {
        let device = try vGPU()
        do {
            let machine = try Client(path: device.socket)
            let refused = try programs.run(device.socket, "true")
            #expect(refused.status == 69 && refused.errors.contains("in use by another client"), "\(refused.errors)")
            _ = machine
        }
        #expect(try programs.run(device.socket, "true").status == 0)
        #expect(throws: ClientError.refused(.version, .resourceBusy)) { try Client(path: device.socket) }
        // A while after the last program the bridge goes.
        let bridge = try #require(try ProgramRun.bridge(of: device.socket))
        #expect(try ProgramRun.awaitEnd(of: bridge))
        _ = try Client(path: device.socket)
    }

    @Test func variablesAreForShellsAndTheBridgeStaysForThem() throws {
        let device = try vGPU()
        let printed = try programs.mediated("env", device.socket)
        #expect(printed.status == 0, "\(printed.errors)")
        let shown = try Program.run(
            URL(fileURLWithPath: "/bin/sh"), ["-c", printed.output + "echo $GALLIUM_DRIVER; echo $VTEST_SOCKET_NAME"])
        let lines = shown.output.split(separator: "\n").map(String.init)
        #expect(lines.first == "virpipe")
        let path = try #require(lines.last)
        #expect(path.hasPrefix(programs.folder))
        // The socket is its user's alone.
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let bridge = try #require(try ProgramRun.bridge(of: device.socket))
        #expect(try programs.draw(device.socket, "scene", "64x64", "1").status == 0)
        #expect(try programs.mediated("env", device.socket, "--end").output.isEmpty)
        #expect(try ProgramRun.awaitEnd(of: bridge))
        #expect(try programs.mediated("env", device.socket, "--end").status == 0)
    }

    /// More than the bridge has answers waiting for a program.
    @Test func aProgramMayAskManyThingsAtOnce() throws {
        let device = try vGPU()
        let printed = try programs.mediated("env", device.socket)
        let path = try #require(printed.output.firstMatch(of: #/VTEST_SOCKET_NAME='(.*)'/#)?.1)
        let socket = try UnixSocket(connectingTo: String(path), within: .seconds(10))
        let pings = Array(repeatElement(VTestNumber.ping.message(), count: 300).joined())
        let name = VTestNumber.createRenderer.message(text: Array("test".utf8))
        try socket.send((name + pings).span.bytes, within: .seconds(10))
        var answers: [UInt8] = []
        while answers.count < pings.count, try socket.waitReadable(within: .seconds(10)) {
            let bytes = try socket.descriptor.readOnce(upTo: 4096)
            guard !bytes.isEmpty else { break }
            answers += bytes
        }
        #expect(answers == pings)
        #expect(try programs.mediated("env", device.socket, "--end").status == 0)
    }

    /// Another user may have put something there, for an older Mesa to take for the vGPU.
    @Test(.enabled(if: ProgramRun.hasNamespaces)) func withoutThePathOfOlderMesasNothingIsStarted() throws {
        let device = try vGPU()
        let refused = try programs.runWithTakenPath(device.socket, "echo", "started")
        #expect(refused.status == 77 && refused.output.isEmpty, "\(refused.errors)")
        #expect(refused.errors.contains("can't be put at '/tmp/.virgl_test'"), "\(refused.errors)")
        #expect(refused.errors.contains("mediated env \(device.socket)"), "\(refused.errors)")
    }

    @Test func wrongWaysAreRefused() throws {
        let plain = try RunningDevice("virtio-gpu", in: scratch, socket: "plain")
        let flat = try programs.run(plain.socket, "true")
        #expect(flat.status == 69 && flat.errors.contains("'renderer=virgl'"), "\(flat.errors)")
        let serial = try RunningDevice("serial", in: scratch, socket: "serial")
        let other = try programs.run(serial.socket, "true")
        #expect(other.status == 69 && other.errors.contains("no virtio-gpu"), "\(other.errors)")
        let nowhere = try programs.run(scratch.path("nowhere"), "true")
        #expect(nowhere.status == 66 && nowhere.errors.contains("There is no socket"), "\(nowhere.errors)")
        let file = try programs.run(scratch.write("text", to: "file"), "true")
        #expect(file.status == 66 && file.errors.contains("is no socket"), "\(file.errors)")
        #expect(try programs.mediated("exec", plain.socket).status == 64)
        let device = try vGPU()
        let missing = try programs.run(device.socket, "no-such-program")
        #expect(missing.status == 127 && missing.errors.contains("There is no program 'no-such-program'"))
        let forbidden = try programs.run(device.socket, scratch.path("file"))
        #expect(forbidden.status == 126 && forbidden.errors.contains("You may not run"), "\(forbidden.errors)")
        chmod(programs.folder + "/mediated", 0o755)
        let open = try programs.run(device.socket, "true")
        #expect(open.status == 77 && open.errors.contains("a folder of your own"), "\(open.errors)")
    }
}
