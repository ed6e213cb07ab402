import Foundation
import Lab
import Testing

extension GuestTests {
    /// Vulkan in a real guest: Debian's Mesa with its Venus driver, the kernel's own, and a stock QEMU. The host's part
    /// is the lab's: Mesa's software driver, and a stand-in for `/dev/udmabuf`.
    @Suite(.serialized, .enabled(if: Lab.hasVenus, "the lab has no Venus: run `make lab`"))
    struct VulkanTests {
        private func device(window: String = "256M") throws -> VirtualDevice {
            try VirtualDevice(
                "virtio-gpu", options: ["renderer=venus", "window=\(window)", "vram=256M"],
                makeRenderer: { _ = try Lab.venusRenderer(in: $0, environment: ["UDMABUF_LIMIT": "256"]) })
        }

        @Test func programsComputeAndDrawOffTheScreenAndOnIt() throws {
            let display = try device()
            let machine = try Machine(drawingOn: display)
            let features = try machine.run("dmesg").output
            #expect(features.contains("+resource_blob +host_visible") && features.contains("+context_init"))
            let summary = try machine.run(Mesa.command("vulkaninfo --summary"))
            #expect(summary.output.contains("Virtio-GPU Venus (llvmpipe"), "\(summary.output)")
            let computed = try machine.run(Mesa.command("vkscene --compute"))
            #expect(computed.output.contains("compute 4 rounds of 1048576 values: 0 wrong"), "\(computed.output)")
            let hidden = try machine.run(Mesa.command("vkscene --offscreen 320x240"))
            #expect(hidden.output.contains("offscreen 320x240: 0 pixels differ"), "\(hidden.output)")
            let shown = try machine.run(Mesa.command("vkscene --screen 640x480 --frames 10"))
            #expect(shown.output.contains("screen 640x480: 10 frames"), "\(shown.output)")
            try display.expectScene(width: 640, height: 480)
            let zink = "HOME=/tmp LIBGL_ALWAYS_SOFTWARE=1 GALLIUM_DRIVER=zink "
            let drawn = try machine.run(zink + Mesa.command("glscene --offscreen 320x240"))
            #expect(drawn.output.contains("renderer zink Vulkan"), "\(drawn.output)")
            #expect(drawn.output.contains("offscreen 320x240: 0 pixels differ"), "\(drawn.output)")
            let complaints = try machine.run("dmesg | grep -i -E 'virtio|drm' | grep -i -E 'error|response|fail'")
            #expect(complaints.output.isEmpty, "\(complaints.output)")
        }

        @Test func aFullWindowIsAnErrorThatAProgramSeesAndItsMemoryComesBack() throws {
            let display = try device(window: "64M")
            let machine = try Machine(drawingOn: display)
            let filled = try machine.run(Mesa.command("vkscene --fill"))
            let words = filled.output.split(whereSeparator: \.isWhitespace)
            let place = try #require(words.firstIndex(of: "fill"), "\(filled.output)")
            let first = try #require(Int(words[place + 1]))
            // Blocks of 4 MiB, and what Mesa has for itself.
            #expect((4..<16).contains(first))
            #expect(words.last == "\(first)")
            // What it left, the next one can have.
            #expect(try machine.run(Mesa.command("vkscene --fill")).output == filled.output)
            // Programs that have gone leave nothing with which the device can't be saved. Their driver puts it away when
            // it finds the time, and a guest that answers has had some.
            var refusal: (any Error)?
            for _ in 0..<200 {
                do {
                    _ = try display.control.save()
                    refusal = nil
                    break
                } catch {
                    refusal = error
                }
                try machine.run("true")
            }
            #expect(refusal == nil)
        }

        @Test func aGuestGoesOnWhenItsRendererIsKilled() throws {
            let display = try device()
            let machine = try Machine(drawingOn: display)
            let shown = try machine.run(Mesa.command("vkscene --screen 640x480 --frames 2"))
            #expect(shown.output.contains("screen 640x480: 2 frames"), "\(shown.output)")
            #expect(kill(try display.renderer(), SIGKILL) == 0)
            var events: [String] = []
            while !events.contains(where: { $0.contains("contexts are lost") }) {
                events = try display.control.events(within: .seconds(60)).events.map(\.message)
            }
            try display.expectScene(width: 640, height: 480)
            let computed = try machine.run(Mesa.command("vkscene --compute 1"))
            #expect(computed.output.contains("compute 1 rounds of 1048576 values: 0 wrong"), "\(computed.output)")
        }
    }
}
