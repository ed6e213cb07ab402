import Device
import Foundation
import Lab
import Testing

extension GuestTests {
    /// 3D in real guests: Debian's Mesa, the kernels' own driver, and nothing of ours in the guest.
    @Suite(.serialized) struct RenderingTests {
        /// Boots a guest with 3D, and Mesa below /run/mesa.
        private func boot(_ display: VirtualDevice, _ kernel: String = "6.12") throws -> Machine {
            let machine = try Machine(devices: [display.argument()], boot: Lab.boot(kernel) + Lab.mesa)
            try machine.awaitReady()
            let mount = "mkdir /run/mesa && mount -t ext4 -o ro /dev/vda /run/mesa && mount -t tmpfs tmp /run/mesa/tmp"
            #expect(try machine.run(mount).status == 0)
            for folder in ["dev", "proc", "sys"] { try machine.run("mount --bind /\(folder) /run/mesa/\(folder)") }
            return machine
        }

        private func mesa(_ command: String) -> String {
            "MESA_SHADER_CACHE_DISABLE=true chroot /run/mesa /usr/bin/\(command)"
        }

        private func device() throws -> VirtualDevice {
            try VirtualDevice("virtio-gpu", options: ["renderer=virgl", "vram=256M"])
        }

        /// What `glscene` draws, within two steps of each colour but on the circle's edge.
        private func expectScene(_ display: VirtualDevice, width: Int, height: Int) throws {
            let rows = try display.picture().rows
            try #require(rows.count == height && rows.first?.count == width * 3)
            var differing = 0
            for y in 0..<height {
                for x in 0..<width {
                    let (left, top) = (Double(x) + 0.5, Double(y) + 0.5)
                    let distance = hypot(left - Double(width) / 2, top - Double(height) / 2) - Double(height) / 4
                    let red = 255 * left / Double(width)
                    let green = 255 * (1 - top / Double(height))
                    let blue = distance < 0 ? 255.0 : 0
                    let pixel = (0..<3).map { Double(rows[y][3 * x + $0]) }
                    let isRight =
                        abs(pixel[0] - red) <= 2 && abs(pixel[1] - green) <= 2
                        && (abs(distance) < 1 || pixel[2] == blue)
                    if !isRight { differing += 1 }
                }
            }
            #expect(differing == 0)
        }

        @Test(arguments: ["6.1", "6.12"]) func mesaDrawsOffTheScreenAndOnIt(kernel: String) throws {
            let display = try device()
            let machine = try boot(display, kernel)
            #expect(try machine.run("dmesg").output.contains("features: +virgl"))
            let hidden = try machine.run(mesa("glscene --offscreen 320x240"))
            #expect(hidden.output.contains("renderer virgl ("))
            #expect(hidden.output.contains("offscreen 320x240: 0 pixels differ"))
            let shown = try machine.run(mesa("glscene --screen 640x480 --frames 30"))
            #expect(shown.output.contains("screen 640x480: 30 frames"), "\(shown.output)")
            try expectScene(display, width: 640, height: 480)
            let complaints = try machine.run("dmesg | grep -i -E 'virtio|drm' | grep -i -E 'error|response|fail'")
            #expect(complaints.output.isEmpty)
        }

        /// On a character device that it has no driver for, Mesa draws in software: the way to a graphics device is
        /// tried without one.
        @Test func aChosenRenderNodeIsDrawnOn() throws {
            let display = try VirtualDevice(
                "virtio-gpu", options: ["renderer=virgl", "vram=256M", "render-node=/dev/null"])
            let machine = try boot(display)
            let shown = try machine.run(mesa("glscene --screen 640x480 --frames 2"))
            #expect(shown.status == 0 && shown.output.contains("renderer virgl ("), "\(shown.output)")
            try expectScene(display, width: 640, height: 480)
        }

        @Test func aBenchmarkRunsToItsEnd() throws {
            let display = try device()
            let machine = try boot(display)
            // The kernel's driver scans out pictures without an alpha channel only.
            let visual = "red=8:green=8:blue=8:alpha=0:buffer=24"
            try machine.start(
                mesa("glmark2-es2-drm --visual-config \(visual) -b build:duration=2 -b texture:duration=2"))
            // A turning horse, in the middle of a black screen.
            let isShown = try machine.retry {
                let rows = try display.picture().rows
                return rows.joined().count { $0 > 0x40 } > 10_000 ? true : nil
            }
            #expect(isShown == true)
            let result = try machine.finish()
            #expect(result.status == 0)
            #expect(result.output.contains("GL_RENDERER:    virgl ("))
            #expect(result.output.contains("glmark2 Score: ") && !result.output.contains("Failed"), "\(result.output)")
        }

        /// Mesa waits for fences, so that it finds out: what it has drawn ahead of the picture shown is a handful at
        /// most.
        @Test(arguments: ["6.1", "6.12"]) func aGuestDrawsNoFasterThanTheFrameRate(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu", options: ["renderer=virgl", "vram=256M", "frame-rate=5"])
            let machine = try boot(display, kernel)
            /// How long 30 frames take, in milliseconds, and the process that keeps the last one on the screen.
            func draw() throws -> (time: Int, keeper: String) {
                let shown = try machine.run(mesa("glscene --screen 640x480 --frames 30")).output
                let words = shown.split(whereSeparator: \.isWhitespace)
                let place = try #require(words.firstIndex(of: "frames"), "\(shown)")
                return (try #require(Int(words[place + 2])), String(try #require(words.last)))
            }
            let (limited, keeper) = try draw()
            #expect(limited > (30 - 8) * 1000 / 5)
            try expectScene(display, width: 640, height: 480)
            // And as fast as it can when nothing is in force any more.
            #expect(try display.control.modify(Quota(frameRate: 0)).frameRate == 0)
            try machine.run("kill -9 \(keeper) && while [ -d /proc/\(keeper) ]; do :; done")
            let (unlimited, _) = try draw()
            #expect(unlimited < limited)
        }

        @Test func aGuestGoesOnWhenItsRendererIsKilled() throws {
            let display = try device()
            let machine = try boot(display)
            try machine.run(mesa("glscene --screen 640x480 --frames 1000000 >/dev/null 2>&1 &"))
            while try display.picture().width != 640 { try machine.run("sleep 1") }
            #expect(kill(try renderer(of: display), SIGKILL) == 0)
            var events: [String] = []
            while !events.contains(where: { $0.contains("contexts are lost") }) {
                events = try display.control.events(within: .seconds(60)).events.map(\.message)
            }
            try expectScene(display, width: 640, height: 480)
            // The program finds out, or doesn't; new ones get contexts of the new renderer.
            let end =
                "set -- $(ps | grep '[/]glscene') && kill -9 $1 && while [ -d /proc/$1 ]; do :; done; cat /proc/fb"
            #expect(try machine.run(end).output.contains("virtio_gpu"))
            let hidden = try machine.run(mesa("glscene --offscreen 320x240"))
            #expect(hidden.output.contains("offscreen 320x240: 0 pixels differ"), "\(hidden.output)")
            let shown = try machine.run(mesa("glscene --screen 800x600 --frames 2"))
            #expect(shown.status == 0, "\(shown.output)")
            try expectScene(display, width: 800, height: 600)
        }

        /// The grandchild of the device process.
        private func renderer(of display: VirtualDevice) throws -> Int32 {
            func child(of process: Int32) throws -> Int32 {
                let path = "/proc/\(process)/task/\(process)/children"
                let children = try String(contentsOfFile: path, encoding: .utf8).split(separator: " ")
                return try #require(children.last.flatMap { Int32($0) })
            }
            return try child(of: child(of: display.control.info().process))
        }
    }
}
