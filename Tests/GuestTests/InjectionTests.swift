import Control
import Lab
import Testing

extension GuestTests {
    /// What the drivers of stock kernels make of what hardware doesn't do on demand. Documentation/Altering.md
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
            try inject("message vector=1 times=12 : delay=300ms", into: display)
            #expect(try machine.run("fbpattern --mode 800x600").status == 0)
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
            try inject("message vector=1 nth=1 : drop", into: display)
            #expect(try machine.run("fbpattern --mode 800x600").status == 0)
            #expect(try altered(display) == 1)
            #expect(try machine.run("fbpattern --mode 640x480").status == 0)
            try display.expectPattern(width: 640, height: 480)
        }

        /// The driver waits for the answer to its one request until an interrupt comes, however late.
        @Test(arguments: ["6.1", "6.12"])
        func virtioRNGWaitsUntilAnInterruptComes(kernel: String) throws {
            let entropy = try VirtualDevice("virtio-rng")
            let machine = try boot(entropy, kernel)
            #expect(try machine.run("head -c 4096 /dev/hwrng | wc -c").output == "4096")
            _ = try entropy.control.inject(.add(rule: "message times=1 : hold", limit: 60_000))
            try machine.run("head -c 4096 /dev/hwrng >/tmp/numbers 2>/tmp/errors &")
            while try entropy.control.inject(.list).waiting.isEmpty {}
            #expect(try machine.run("wc -c </tmp/numbers").output == "0")
            _ = try entropy.control.inject(.letGo(nil))
            let size = "wc -c </tmp/numbers"
            #expect(
                try machine.run("for i in $(seq 60); do [ $(\(size)) = 4096 ] && break; sleep 1; done; \(size)").output
                    == "4096")
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

        /// All ones say that there is no interrupt. What has come is in the FIFO yet, and the pin asserted.
        @Test(arguments: ["6.1", "6.12"])
        func the8250ReceivesAllThroughAllOnes(kernel: String) throws {
            let card = try VirtualDevice("serial", options: ["line=unix:@line"])
            let machine = try boot(card, kernel)
            let port = try machine.run("ttyof 00:05.0").output
            #expect(try machine.run("serial \(port) lines").status == 0)
            let line = try Peer(path: card.path("line"))
            try machine.start("serial \(port) receive 4096")
            try inject("read register=interruptIdentification every=5 times=20 : ones", into: card)
            try line.send((0..<4096).map { UInt8(truncatingIfNeeded: $0 * 31 + ($0 >> 8) * 17 + 7) })
            let received = try machine.finish()
            #expect(received.status == 0)
            #expect(received.output.contains("wrong 0 overrun 0"), "\(received.output)")
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
