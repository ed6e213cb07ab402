import Device
import Foundation
import Lab
import Testing

extension GuestTests {
    /// 3D in real guests: Debian's Mesa, the kernels' own driver, and nothing of ours in the guest.
    @Suite(.serialized) struct RenderingTests {
        private func device() throws -> VirtualDevice {
            try VirtualDevice("virtio-gpu", options: ["renderer=virgl", "vram=256M"])
        }

        @Test(arguments: ["6.1", "6.12"]) func mesaDrawsOffTheScreenAndOnIt(kernel: String) throws {
            let display = try device()
            let machine = try Machine(drawingOn: display, kernel)
            #expect(try machine.run("dmesg").output.contains("features: +virgl"))
            let hidden = try machine.run(Mesa.command("glscene --offscreen 320x240"))
            #expect(hidden.output.contains("renderer virgl ("))
            #expect(hidden.output.contains("offscreen 320x240: 0 pixels differ"))
            let shown = try machine.run(Mesa.command("glscene --screen 640x480 --frames 30"))
            #expect(shown.output.contains("screen 640x480: 30 frames"), "\(shown.output)")
            try display.expectScene(width: 640, height: 480)
            let complaints = try machine.run("dmesg | grep -i -E 'virtio|drm' | grep -i -E 'error|response|fail'")
            #expect(complaints.output.isEmpty)
        }

        /// On a character device that it has no driver for, Mesa draws in software: the way to a graphics device is
        /// tried without one.
        @Test func aChosenRenderNodeIsDrawnOn() throws {
            let display = try VirtualDevice(
                "virtio-gpu", options: ["renderer=virgl", "vram=256M", "render-node=/dev/null"])
            let machine = try Machine(drawingOn: display)
            let shown = try machine.run(Mesa.command("glscene --screen 640x480 --frames 2"))
            #expect(shown.status == 0 && shown.output.contains("renderer virgl ("), "\(shown.output)")
            try display.expectScene(width: 640, height: 480)
        }

        @Test func aBenchmarkRunsToItsEnd() throws {
            let display = try device()
            let machine = try Machine(drawingOn: display)
            // The kernel's driver scans out pictures without an alpha channel only.
            let visual = "red=8:green=8:blue=8:alpha=0:buffer=24"
            try machine.start(
                Mesa.command("glmark2-es2-drm --visual-config \(visual) -b build:duration=2 -b texture:duration=2"))
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
            let machine = try Machine(drawingOn: display, kernel)
            /// How long 30 frames take, in milliseconds, and the process that keeps the last one on the screen.
            func draw() throws -> (time: Int, keeper: String) {
                let shown = try machine.run(Mesa.command("glscene --screen 640x480 --frames 30")).output
                let words = shown.split(whereSeparator: \.isWhitespace)
                let place = try #require(words.firstIndex(of: "frames"), "\(shown)")
                return (try #require(Int(words[place + 2])), String(try #require(words.last)))
            }
            let (limited, keeper) = try draw()
            #expect(limited > (30 - 8) * 1000 / 5)
            try display.expectScene(width: 640, height: 480)
            // And as fast as it can when nothing is in force any more.
            #expect(try display.control.modify(Quota(frameRate: 0)).frameRate == 0)
            try machine.run("kill -9 \(keeper) && while [ -d /proc/\(keeper) ]; do :; done")
            let (unlimited, _) = try draw()
            #expect(unlimited < limited)
        }

        @Test func aGuestGoesOnWhenItsRendererIsKilled() throws {
            let display = try device()
            let machine = try Machine(drawingOn: display)
            try machine.run(Mesa.command("glscene --screen 640x480 --frames 1000000 >/dev/null 2>&1 &"))
            while try display.picture().width != 640 { try machine.run("sleep 1") }
            #expect(kill(try display.renderer(), SIGKILL) == 0)
            var events: [String] = []
            while !events.contains(where: { $0.contains("contexts are lost") }) {
                events = try display.control.events(within: .seconds(60)).events.map(\.message)
            }
            try display.expectScene(width: 640, height: 480)
            // The program finds out, or doesn't; new ones get contexts of the new renderer.
            let end =
                "set -- $(ps | grep '[/]glscene') && kill -9 $1 && while [ -d /proc/$1 ]; do :; done; cat /proc/fb"
            #expect(try machine.run(end).output.contains("virtio_gpu"))
            let hidden = try machine.run(Mesa.command("glscene --offscreen 320x240"))
            #expect(hidden.output.contains("offscreen 320x240: 0 pixels differ"), "\(hidden.output)")
            let shown = try machine.run(Mesa.command("glscene --screen 800x600 --frames 2"))
            #expect(shown.status == 0, "\(shown.output)")
            try display.expectScene(width: 800, height: 600)
        }
    }
}
