import Lab
import Programs
import Testing

extension GuestTests {
    /// `mediated attach` and `mediated detach` with a real QEMU.
    @Suite(.serialized) struct HotPlugTests {
        /// A port with room for a display.
        static let port = "pcie-root-port,id=rp,pref32-reserve=32M"

        private func mediated(
            _ verb: String, _ target: String, _ machine: Machine, _ more: String...
        ) throws -> Program.Outcome {
            try Program.run(
                Program.folder.appendingPathComponent("mediated"),
                [verb, target, "--qmp", machine.secondMonitor] + more)
        }

        @Test(arguments: ["q35", "pc"])
        func aDisplayComesAndGoes(type: String) throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try Machine(
                devices: type == "q35" ? [Self.port] : [], boot: Lab.boot("6.1"), machine: Machine.sharing(type))
            try machine.awaitReady()
            let attached = try mediated("attach", display.socket, machine)
            #expect(attached.status == 0 && attached.errors.isEmpty, "\(attached)")
            let (bus, address) = type == "q35" ? ("rp", "01:00.0") : ("pci.0", "00:02.0")
            #expect(
                attached.output
                    == "id       vgpu0\nbus      \(bus)\naddress  \(address)\nguest    has enabled it\n")
            let found = "until grep -q bochs /proc/fb; do sleep 0.1; done"
            #expect(try machine.run("timeout 60 sh -c '\(found)'").status == 0)
            #expect(try machine.run("cat /sys/bus/pci/devices/0000:\(address)/vendor").output == "0x1234")
            #expect(try machine.run("fbpattern").status == 0)
            try display.expectPattern(width: 1024, height: 768)

            let again = try mediated("attach", display.socket, machine, "--id", "other")
            #expect(again.status == 69 && again.errors.contains("is in use by another client"), "\(again)")
            if type == "q35" {
                let second = try VirtualDevice("bochs-display")
                let full = try mediated("attach", second.socket, machine)
                #expect(full.status == 69 && full.errors.contains("ports are all taken"), "\(full)")
            }

            // By its identifier once, by its socket once.
            let detached = try mediated("detach", type == "q35" ? display.socket : "vgpu0", machine)
            #expect(detached.status == 0 && detached.errors.isEmpty, "\(detached)")
            #expect(try machine.run("ls /sys/bus/pci/devices/0000:\(address)").status != 0)
            try display.awaitClientLeft()
        }

        @Test func aDeviceWithMSIXIsNotUnplugged() throws {
            let exerciser = try VirtualDevice("exerciser")
            let machine = try Machine(devices: [Self.port], boot: Lab.boot("6.1"))
            try machine.awaitReady()
            #expect(
                try mediated("attach", exerciser.socket, machine, "--id", "exerciser", "--timeout", "0").status == 0)
            // Nobody has waited until the guest has found it.
            let type = "/sys/bus/pci/devices/0000:01:00.0/class"
            #expect(try machine.run("timeout 60 sh -c 'until [ -e \(type) ]; do sleep 0.1; done'").status == 0)
            let detached = try mediated("detach", "exerciser", machine)
            #expect(detached.status == 69 && detached.errors.contains("MSI-X"), "\(detached)")
            #expect(try machine.run("cat \(type)").output == "0xff0000")
        }

        @Test func aPortWithTooLittleRoomIsNoted() throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try Machine(devices: ["pcie-root-port,id=rp"], boot: Lab.boot("6.1"))
            try machine.awaitReady()
            let attached = try mediated("attach", display.socket, machine, "--timeout", "0")
            #expect(attached.status == 0)
            #expect(attached.errors.contains("it needs 16M of prefetchable and 4K of other"), "\(attached)")
            // The guest's own word.
            let refused = "until dmesg | grep -q \"01:00.0: BAR 0.*failed to assign\"; do sleep 0.1; done"
            #expect(try machine.run("timeout 60 sh -c '\(refused)'").status == 0)
        }

        /// As early in a boot, or in a guest that hangs: QEMU has the device, the guest doesn't know.
        @Test func aGuestWhoseHotPlugDriverIsAwayHasNotEnabledIt() throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try Machine(
                devices: [Self.port], boot: Lab.boot("6.1"),
                machine: Machine.sharing("q35") + ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"])
            try machine.awaitReady()
            let driver = "/sys/bus/pci_express/drivers/pciehp"
            let unbind = "for x in \(driver)/*:*; do echo ${x##*/} >\(driver)/unbind; done"
            #expect(try machine.run(unbind).status == 0)
            let attached = try mediated("attach", display.socket, machine, "--timeout", "2")
            #expect(attached.status == 0 && attached.errors.isEmpty, "\(attached)")
            #expect(attached.output.contains("\nguest    has not enabled it within 2 s: "), "\(attached)")
            #expect(try machine.run("grep -q bochs /proc/fb").status != 0)
        }

        @Test func aMachineThatIsPausedMayEnableItLater() throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try Machine(devices: [Self.port], boot: Lab.boot("6.1"))
            try machine.awaitReady()
            try machine.execute("stop")
            let attached = try mediated("attach", display.socket, machine)
            #expect(attached.status == 0 && attached.errors.isEmpty, "\(attached)")
            #expect(
                attached.output.contains("\nguest    has not enabled it: it is not running (paused)"), "\(attached)")
            try machine.execute("cont")
            let found = "until grep -q bochs /proc/fb; do sleep 0.1; done"
            #expect(try machine.run("timeout 60 sh -c '\(found)'").status == 0)
        }

        @Test func aMachineWithPrivateMemoryTakesNoDevice() throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try Machine(devices: [Self.port], boot: [], machine: ["-machine", "q35"])
            try machine.execute("query-status")
            let attached = try mediated("attach", display.socket, machine)
            #expect(attached.status == 69 && attached.errors.contains("'pc.ram' is private"), "\(attached)")
            #expect(try mediated("attach", display.socket, machine, "--force", "--timeout", "0").status == 0)
        }

        @Test func aMachineThatMigratesTakesNoDevice() throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try Machine(devices: [Self.port], boot: [])
            try machine.execute("migrate-set-parameters", "{\"max-bandwidth\":4096}")
            try machine.execute("migrate", "{\"uri\":\"exec:cat >/dev/null\"}")
            let attached = try mediated("attach", display.socket, machine)
            #expect(attached.status == 69 && attached.errors.contains("A migration is under way"), "\(attached)")
            try machine.execute("migrate_cancel")
            let isOver = try machine.retry {
                try machine.execute("query-migrate")["status"] == "cancelled" ? true : nil
            }
            #expect(isOver == true)
            #expect(try mediated("attach", display.socket, machine, "--timeout", "0").status == 0)
        }

        @Test func aGuestWithoutASystemGivesNothingUp() throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try Machine(devices: [Self.port, display.argument(",\"id\":\"x\",\"bus\":\"rp\"")], boot: [])
            try machine.execute("query-status")
            let detached = try mediated("detach", "x", machine, "--timeout", "1")
            #expect(detached.status == 69 && detached.errors.contains("has not given up the device 'x'"), "\(detached)")
        }
    }
}
