import Control
import Device
import Foundation
import Lab
import Programs
import Recording
import Replay
import Tap
import Testing

extension GuestTests {
    /// What real drivers do with a device is recorded, and lives again on a fresh one: every byte, every interrupt, and
    /// the picture at the end. `make recordings` keeps what was recorded.
    @Suite(.serialized) struct RecordingTests {
        struct Scene: Sendable, CustomTestStringConvertible {
            let name: String
            let type: String
            var options: [String] = []
            var boot: [String]
            var properties = ""
            /// The machine runs before the device comes.
            var isPlugged = false
            let play: @Sendable (Machine, VirtualDevice) throws -> Void
            var testDescription: String { name }
        }

        /// Small modes, so that all of it together stays small.
        static let scenes: [Scene] =
            [
                Scene(
                    name: "seabios-bochs-display", type: "bochs-display", options: ["resolution=640x480"], boot: [],
                    properties: ",\"romfile\":\"\(Lab.value("VGABIOS_BOCHS"))\""
                ) { machine, display in
                    _ = try machine.retry { () -> Int? in
                        guard let picture = try? display.picture() else { return nil }
                        let lit = picture.rows.joined().count { $0 > 0x80 }
                        return lit > 3000 ? lit : nil
                    }
                },
                Scene(
                    name: "ovmf-virtio-gpu", type: "virtio-gpu", options: ["resolution=640x480"], boot: Lab.uefi
                ) { machine, _ in _ = try machine.agent.waitFor("Shell> ") },
                // What QEMU itself does: it makes the device's other side, resets it, and takes it away.
                Scene(
                    name: "qemu-plug-reset-unplug", type: "bochs-display", options: ["resolution=640x480"],
                    boot: Lab.boot("6.12"), isPlugged: true
                ) { machine, display in
                    try machine.awaitReady()
                    try Self.mediated("attach", display, machine)
                    #expect(try machine.run("timeout 60 sh -c 'until fbpattern; do sleep 0.1; done'").status == 0)
                    try machine.execute("system_reset")
                    try machine.awaitReady()
                    #expect(try machine.run("fbpattern").status == 0)
                    try Self.mediated("detach", display, machine)
                    try display.awaitClientLeft()
                },
            ] + ["6.1", "6.12"].flatMap(Self.linux)

        private static func mediated(_ verb: String, _ device: VirtualDevice, _ machine: Machine) throws {
            let outcome = try Program.run(
                Program.folder.appendingPathComponent("mediated"),
                [verb, device.socket, "--qmp", machine.secondMonitor])
            #expect(outcome.status == 0, "\(outcome.errors)")
        }

        private static func linux(_ kernel: String) -> [Scene] {
            [
                Scene(
                    name: "linux-\(kernel)-bochs-drm", type: "bochs-display", options: ["resolution=640x480"],
                    boot: Lab.boot(kernel)
                ) { machine, _ in
                    try machine.awaitReady()
                    #expect(try machine.run("fbpattern").status == 0)
                },
                Scene(
                    name: "linux-\(kernel)-virtio-rng", type: "virtio-rng", boot: Lab.boot(kernel)
                ) { machine, _ in
                    try machine.awaitReady()
                    #expect(try machine.run("head -c 4096 /dev/hwrng | wc -c").output == "4096")
                },
                Scene(
                    name: "linux-\(kernel)-8250", type: "serial", options: ["line=unix:@line"], boot: Lab.boot(kernel),
                    properties: ",\"addr\":\"0x4\""
                ) { machine, card in
                    try machine.awaitReady()
                    let port = try machine.run("ttyof 00:04.0").output
                    #expect(try machine.run("serial \(port) lines").status == 0)
                    let line = try Peer(path: card.path("line"))
                    try machine.start("serial \(port) echo 100")
                    let text = (0..<100).map { UInt8($0 + 32) }
                    try line.send(text)
                    #expect(try line.receive(100) == text)
                    #expect(try machine.finish().status == 0)
                },
                Scene(
                    name: "linux-\(kernel)-virtio-gpu", type: "virtio-gpu",
                    options: ["heads=2", "resolution=640x480", "vram=16M"], boot: Lab.boot(kernel)
                ) { machine, display in
                    try machine.awaitReady()
                    #expect(try machine.run("fbpattern --mode 640x480 --cursor 100,50").status == 0)
                    try display.control.connect(nil, to: 1)
                    try display.control.connect(Monitor(width: 800, height: 600), to: 0)
                    // The guest's kernel asks which monitors there are now; its console shows the same on.
                    #expect(try machine.run("cat /sys/class/drm/card0-*/status").status == 0)
                },
            ]
        }

        @Test(arguments: scenes) func whatADriverDoesLivesAgain(_ scene: Scene) throws {
            let device = try VirtualDevice(scene.type, options: scene.options)
            let path = device.path("recording.pcapng")
            let recorder = try Recorder(ControlClient.path(besides: device.socket), to: path)
            let machine = try Machine(
                devices: [scene.isPlugged ? HotPlugTests.port : device.argument(scene.properties)], boot: scene.boot)
            try scene.play(machine, device)
            try recorder.end()
            let reader = try RecordingReader(path: path)
            let outcome = try Replay { try reader.next() }.run()
            #expect(outcome.isComplete && outcome.gaps == 0)
            #expect(outcome.divergence == nil, "\(String(describing: outcome.divergence))")
            guard let folder = ProcessInfo.processInfo.environment["MEDIATED_RECORDINGS"] else { return }
            let packed = try Program.run(
                URL(fileURLWithPath: "/usr/bin/zstd"),
                ["-q", "-f", "--ultra", "-22", path, "-o", "\(folder)/\(scene.name).pcapng.zst"])
            #expect(packed.status == 0, "\(packed.errors)")
        }
    }
}
