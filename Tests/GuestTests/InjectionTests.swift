import Control
import Lab
import Testing

extension GuestTests {
    /// What the drivers of stock kernels make of what hardware doesn't do on demand. Documentation/Observatory.md
    @Suite(.serialized) struct InjectionTests {
        private func boot(_ device: VirtualDevice, _ kernel: String) throws -> Machine {
            let machine = try Machine(devices: [device.argument(",\"addr\":\"0x5\"")], boot: Lab.boot(kernel))
            try machine.awaitReady()
            return machine
        }

        /// Has a rule hold, and others no more.
        private func inject(_ rule: String, into device: VirtualDevice) throws {
            _ = try device.control.inject(.clear(nil))
            _ = try device.control.inject(.add(rule: rule, limit: nil))
        }

        private func altered(_ device: VirtualDevice) throws -> UInt64 {
            try device.control.inject(.list).rules.map(\.altered).reduce(0, +)
        }

        /// A fence that comes late is waited for: what is drawn is whole.
        @Test(arguments: ["6.1", "6.12"])
        func virtioGPUWaitsForALateFence(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu")
            let machine = try boot(display, kernel)
            try inject("message vector=1 every=3 times=12 : delay=300ms", into: display)
            #expect(try machine.run("fbpattern --mode 800x600").output == "fb 800x600 stride 3200 bpp 32 done")
            try display.expectPattern(width: 800, height: 600)
            #expect(try altered(display) > 0)
            let complaints = try machine.run("dmesg | grep -i -E 'virtio|drm' | grep -i -E 'error|response|fail|timed'")
            #expect(complaints.output.isEmpty)
        }

        /// The next interrupt makes up for one that is lost.
        @Test(arguments: ["6.1", "6.12"])
        func virtioGPULivesThroughALostInterrupt(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu")
            let machine = try boot(display, kernel)
            try inject("message vector=1 every=4 times=8 : drop", into: display)
            #expect(try machine.run("fbpattern --mode 800x600").output == "fb 800x600 stride 3200 bpp 32 done")
            _ = try display.control.inject(.clear(nil))
            #expect(try machine.run("fbpattern --mode 640x480").status == 0)
            try display.expectPattern(width: 640, height: 480)
        }

        /// The driver waits for ever for the answer to its one request, until another interrupt comes.
        @Test(arguments: ["6.1", "6.12"])
        func virtioRNGHangsUntilTheNextInterrupt(kernel: String) throws {
            let entropy = try VirtualDevice("virtio-rng")
            let machine = try boot(entropy, kernel)
            #expect(try machine.run("head -c 4096 /dev/hwrng | wc -c").output == "4096")
            try inject("message times=1 : hold", into: entropy)
            try machine.run("head -c 4096 /dev/hwrng >/tmp/numbers 2>&1 &")
            while try entropy.control.inject(.list).waiting.isEmpty {}
            #expect(try machine.run("kill -0 $! && wc -c </tmp/numbers").output != "4096")
            _ = try entropy.control.inject(.letGo(nil))
            #expect(try machine.run("wait $!; wc -c </tmp/numbers").output == "4096")
        }

        /// All ones, as of a device that was pulled out, are no display to it.
        @Test(arguments: ["6.1", "6.12"])
        func bochsRefusesADisplayOfAllOnes(kernel: String) throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try boot(display, kernel)
            let driver = "/sys/bus/pci/drivers/bochs-drm"
            try machine.run("echo 0000:00:05.0 >\(driver)/unbind")
            try inject("read bar=2 : ones", into: display)
            #expect(try machine.run("echo 0000:00:05.0 >\(driver)/bind").status != 0)
            #expect(try altered(display) > 0)
            _ = try display.control.inject(.clear(nil))
            #expect(try machine.run("echo 0000:00:05.0 >\(driver)/bind").status == 0)
            #expect(try machine.run("fbpattern --mode 800x600").status == 0)
            try display.expectPattern(width: 800, height: 600)
        }

        /// A few reads of all ones amid others cost the serial port's driver nothing that it notices for good.
        @Test(arguments: ["6.1", "6.12"])
        func the8250LivesThroughAllOnes(kernel: String) throws {
            let card = try VirtualDevice("serial", options: ["line=unix:@line"])
            let machine = try boot(card, kernel)
            let port = try machine.run("ttyof 00:05.0").output
            #expect(try machine.run("serial \(port) lines").status == 0)
            let line = try Peer(path: card.path("line"))
            try inject("read register=interruptIdentification every=5 times=4 : ones", into: card)
            let bytes = (0..<200).map { UInt8(truncatingIfNeeded: $0 * 31 + ($0 >> 8) * 17 + 7) }
            try machine.start("serial \(port) echo 200")
            try line.send(bytes)
            #expect(try line.receive(200) == bytes)
            #expect(try machine.finish().status == 0)
            #expect(try altered(card) > 0)
        }

        /// An access that waits is answered late, and all goes on.
        @Test(arguments: ["6.12"])
        func aHeldAccessStopsTheGuestAndNoMore(kernel: String) throws {
            let exerciser = try VirtualDevice("exerciser")
            let machine = try boot(exerciser, kernel)
            try inject("read register=scratch times=1 : hold", into: exerciser)
            try machine.start("pcimem 00:05.0 0 r4 4")
            while try exerciser.control.inject(.list).waiting.isEmpty {}
            _ = try exerciser.control.inject(.letGo(nil))
            #expect(try machine.finish().status == 0)
            // To its limit: QEMU waits longer.
            try inject("read register=scratch times=1 : hold", into: exerciser)
            #expect(try machine.run("pcimem 00:05.0 0 r4 4").status == 0)
            #expect(try machine.run("pcimem 00:05.0 0 r4 0").output.contains("000111e9"))
        }
    }
}
