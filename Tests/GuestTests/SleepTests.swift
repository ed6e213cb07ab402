import Lab
import Testing

extension GuestTests {
    /// Guests that sleep (S3) and wake up: the machine is reset at the end of it, and every device with it.
    @Suite(.serialized) struct SleepTests {
        private static let device = "/sys/bus/pci/devices/0000:00:05.0"

        private func boot(_ display: VirtualDevice, _ kernel: String) throws -> Machine {
            let machine = try Machine(
                devices: [display.argument(",\"addr\":\"0x5\"")], boot: Lab.boot(kernel, canSleep: true))
            try machine.awaitReady()
            return machine
        }

        @Test(arguments: ["6.1", "6.12"])
        func randomNumbersComeAfterASleep(kernel: String) throws {
            let machine = try boot(try VirtualDevice("virtio-rng"), kernel)
            let read = "timeout 30 head -c 640 /dev/hwrng | wc -c"
            #expect(try machine.run(read).output == "640")
            try machine.sleepAndWake()
            #expect(try machine.run(read).output == "640")
        }

        /// As with QEMU's own: the driver redraws nothing.
        @Test(arguments: ["6.1", "6.12"])
        func aFramebufferKeepsItsPictureOverASleep(kernel: String) throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try boot(display, kernel)
            #expect(try machine.run("fbpattern").status == 0)
            try machine.sleepAndWake()
            try display.expectPattern(width: 1024, height: 768)
            #expect(try machine.run("fbpattern --mode 800x600").status == 0)
            try display.expectPattern(width: 800, height: 600)
        }

        /// The drivers of these kernels don't set a virtio display up again, QEMU's own neither: they must be bound anew.
        @Test(arguments: ["6.1", "6.12"])
        func aVirtioDisplayCanBeBoundAnewAfterASleep(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu")
            let machine = try boot(display, kernel)
            #expect(try machine.run("fbpattern").status == 0)
            try machine.sleepAndWake()
            try machine.run("echo 0000:00:05.0 >\(Self.device)/driver/unbind")
            try machine.run("echo 0000:00:05.0 >/sys/bus/pci/drivers/virtio-pci/bind")
            #expect(try machine.run("fbpattern --mode 800x600").status == 0)
            try display.expectPattern(width: 800, height: 600)
        }

        @Test(arguments: ["6.1", "6.12"])
        func aSerialPortWorksAfterASleep(kernel: String) throws {
            let card = try VirtualDevice("serial", options: ["line=unix:@line"])
            let machine = try boot(card, kernel)
            let port = try machine.run("ttyof 00:05.0").output
            #expect(try machine.run("serial \(port) lines").status == 0)
            try machine.sleepAndWake()
            let line = try Peer(path: card.path("line"))
            let bytes = [UInt8](repeating: 0x55, count: 1000)
            try machine.start("serial \(port) echo \(bytes.count)")
            try line.send(bytes)
            #expect(try line.receive(bytes.count) == bytes)
            #expect(try machine.finish().status == 0)
        }
    }
}

extension Machine {
    /// Has the guest sleep (ACPI's S3), and wakes it up.
    func sleepAndWake() throws {
        try start("echo mem >/sys/power/state")
        let isAsleep = try retry { try execute("query-status").object?["status"]?.string == "suspended" ? true : nil }
        #expect(isAsleep == true)
        try execute("system_wakeup")
        #expect(try finish().status == 0)
    }
}
