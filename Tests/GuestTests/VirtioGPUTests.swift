import Device
import Lab
import Testing

extension GuestTests {
    /// The virtio display in real guests, with the drivers that their kernels bring.
    @Suite(.serialized) struct VirtioGPUTests {
        /// Boots a guest with the display.
        private func boot(_ display: VirtualDevice, _ kernel: String = "6.12") throws -> Machine {
            let machine = try Machine(devices: [display.argument()], boot: Lab.boot(kernel))
            try machine.awaitReady()
            return machine
        }

        @Test(arguments: ["6.1", "6.12"])
        func theStockDriverShowsEveryPixel(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu")
            let machine = try boot(display, kernel)
            #expect(try machine.run("cat /proc/fb").output.contains("virtio_gpu"))
            #expect(try machine.run("fbpattern").output == "fb 1024x768 stride 4096 bpp 32 done")
            try display.expectPattern(width: 1024, height: 768)
            for (width, height) in [(800, 600), (640, 480), (1024, 768)] {
                #expect(try machine.run("fbpattern --mode \(width)x\(height)").status == 0)
                try display.expectPattern(width: width, height: height)
            }
            // The driver complains of every answer that it doesn't expect.
            let complaints = try machine.run("dmesg | grep -i -E 'virtio|drm' | grep -i -E 'error|response|fail'")
            #expect(complaints.output.isEmpty)
        }

        @Test(arguments: ["6.1", "6.12"])
        func memoryThatIsSharedAsBlobsIsShown(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu", options: ["blob=on", "resolution=1280x720"])
            let machine = try boot(display, kernel)
            #expect(try machine.run("dmesg").output.contains("+resource_blob"))
            #expect(try machine.run("fbpattern").output == "fb 1280x720 stride 5120 bpp 32 done")
            try display.expectPattern(width: 1280, height: 720)
            #expect(try machine.run("fbpattern --mode 800x600").status == 0)
            try display.expectPattern(width: 800, height: 600)
            let complaints = try machine.run("dmesg | grep -i -E 'virtio|drm' | grep -i -E 'error|response|fail'")
            #expect(complaints.output.isEmpty)
        }

        @Test(arguments: ["6.1", "6.12"])
        func twoHeadsShowTheConsole(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu", options: ["heads=2"])
            let machine = try boot(display, kernel)
            #expect(try machine.run("cat /sys/class/drm/card0-*/status").output == "connected\nconnected")
            #expect(try machine.run("fbpattern").status == 0)
            try display.expectPattern(head: 0, width: 1024, height: 768)
            try display.expectPattern(head: 1, width: 1024, height: 768)
        }

        @Test(arguments: ["6.1", "6.12"])
        func aMonitorThatComesGoesAndChangesIsSeenByTheGuest(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu", options: ["heads=2"])
            let machine = try boot(display, kernel)
            let status = "cat /sys/class/drm/card0-*/status"
            try display.control.connect(nil, to: 1)
            #expect(
                try machine.run("while ! \(status) | grep -q dis; do sleep 1; done; \(status)").output
                    == "connected\ndisconnected")
            try display.control.connect(Monitor(width: 1280, height: 720), to: 1)
            // As a desktop does that hears of it: the console doesn't look again.
            let modes = "echo detect >/sys/class/drm/card0-Virtual-2/status; cat /sys/class/drm/card0-Virtual-2/modes"
            #expect(
                try machine.run("while ! { \(modes); } | grep -q 1280x720; do sleep 1; done; \(status)").output
                    == "connected\nconnected")
            try display.control.connect(Monitor(width: 800, height: 600), to: 0)
            try machine.run("while ! fbpattern --list | grep -q '800x600.*preferred'; do sleep 1; done")
            #expect(try machine.run("fbpattern --mode 800x600").status == 0)
            try display.expectPattern(width: 800, height: 600)
        }

        @Test(arguments: ["6.1", "6.12"], ["blob=off", "blob=on"])
        func theHardwareCursorIsOnTheScreenshot(kernel: String, blob: String) throws {
            let display = try VirtualDevice("virtio-gpu", options: [blob])
            let machine = try boot(display, kernel)
            #expect(try machine.run("fbpattern --mode 800x600 --cursor 100,50").status == 0)
            let rows = try display.picture().rows
            try #require(rows.first?.count == 800 * 3)
            for y in [49, 50, 113, 114] {
                var expected = patternRow(y, width: 800)
                if (50..<114).contains(y) {
                    for x in 100..<132 { expected.replaceSubrange(3 * x..<3 * x + 3, with: [255, 0, 0]) }
                }
                let differing = expected.indices.filter { rows[y][$0] != expected[$0] }
                #expect(differing.isEmpty, "line \(y), from byte \(differing.first ?? 0) on")
            }
        }

        @Test func aSavedDisplayShowsTheSameInANewProcess() throws {
            let options = ["heads=2"]
            let display = try VirtualDevice("virtio-gpu", options: options)
            let machine = try boot(display)
            #expect(try machine.run("fbpattern --mode 800x600 --cursor 100,50").status == 0)
            let state = try display.control.save().bytes()
            let other = try VirtualDevice("virtio-gpu", options: options, state: state)
            let (saved, restored) = try (display.picture(), other.picture())
            let isTheSame = restored.width == 800 && restored.rows == saved.rows
            #expect(isTheSame)
            let isUnchanged = try other.control.save().bytes() == state
            #expect(isUnchanged)
        }
    }
}
