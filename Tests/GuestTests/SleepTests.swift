import Foundation
import Lab
import Programs
import Testing

extension GuestTests {
    /// Guests that sleep (S3) and wake up: the machine is reset at the end of it, and every device with it.
    @Suite(.serialized) struct SleepTests {
        private func boot(_ display: VirtualDevice, _ kernel: String) throws -> Machine {
            let machine = try Machine(
                devices: [display.argument(",\"addr\":\"0x5\"")], boot: Lab.boot(kernel, canSleep: true))
            try machine.awaitReady()
            return machine
        }

        @Test(arguments: ["6.1", "6.12"])
        func randomNumbersComeAfterASleep(kernel: String) throws {
            let device = try VirtualDevice("virtio-rng")
            let machine = try boot(device, kernel)
            let read = "timeout 30 head -c 640 /dev/hwrng | wc -c"
            #expect(try machine.run(read).output == "640")
            try machine.sleepAndWake()
            #expect(try machine.run(read).output == "640")
            // A device that nobody names any more ends.
            withExtendedLifetime(device) {}
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

        /// The driver doesn't set its display up again, and QEMU's own has the same fate: it is bound after the sleep.
        /// It draws nothing before, since an unbinding of Linux 6.12 then doesn't come to its end, with QEMU's own
        /// neither.
        @Test(arguments: ["6.1", "6.12"])
        func aVirtioDisplayWorksAfterASleep(kernel: String) throws {
            let display = try VirtualDevice("virtio-gpu")
            let machine = try boot(display, kernel)
            let driver = "/sys/bus/pci/drivers/virtio-pci"
            #expect(try machine.run("timeout 30 sh -c 'echo 0000:00:05.0 >\(driver)/unbind'").status == 0)
            try machine.sleepAndWake()
            let bind = "echo 0000:00:05.0 >\(driver)/bind; until [ -e /dev/dri/card0 ]; do sleep 0.1; done"
            #expect(try machine.run("timeout 30 sh -c '\(bind)'").status == 0)
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

        // MARK: Hibernation

        /// The guest's memory goes to a disk, the machine ends, and another one goes on with it: every device has been
        /// reset.
        @Test(
            arguments: [
                ("6.1", "virtio-rng", "head -c 640 /dev/hwrng | wc -c"),
                ("6.12", "virtio-rng", "head -c 640 /dev/hwrng | wc -c"),
                ("6.12", "bochs-display", "fbpattern --mode 800x600"),
                ("6.12", "serial", "serial $(ttyof 00:05.0) lines"),
            ])
        func aDeviceWorksAfterHibernation(kernel: String, type: String, use: String) throws {
            let folder = try Scratch()
            let disk = folder.path("disk")
            #expect(FileManager.default.createFile(atPath: disk, contents: nil))
            #expect(truncate(disk, 1 << 30) == 0)
            let device = try VirtualDevice(type)
            func boot() throws -> Machine {
                let drive = [
                    "-drive", "file=\(disk),if=none,id=disk,format=raw", "-device", "virtio-blk-pci,drive=disk",
                ]
                let machine = try Machine(
                    devices: [device.argument(",\"addr\":\"0x5\"")], boot: Lab.boot(kernel, canSleep: true) + drive)
                try machine.awaitReady()
                return machine
            }
            let before = try boot()
            let wanted = try before.run("timeout 30 \(use)")
            #expect(wanted.status == 0)
            if type == "virtio-rng" { #expect(wanted.output == "640") }
            try before.start("mkswap /dev/vda && swapon /dev/vda && echo disk >/sys/power/state && echo awake")
            before.awaitEnd()
            try device.awaitClientLeft()
            let after = try boot()
            // What answers is the command that the other machine began.
            try after.start("cat /sys/block/vda/dev >/sys/power/resume")
            #expect(try after.finish().output.hasSuffix("awake"))
            #expect(try after.run("timeout 30 \(use)").output == wanted.output)
            if type == "bochs-display" { try device.expectPattern(width: 800, height: 600) }
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
