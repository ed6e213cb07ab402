import Lab
import Programs
import Testing

extension GuestTests {
    /// What `mediated attach-args --libvirt` prints, with a real libvirtd.
    @Suite(.serialized, .enabled(if: Lab.hasLibvirt, "there is no libvirt in the lab ('make lab'), or no root"))
    struct LibvirtTests {
        @Test func aDomainWithThePrintedElementsHasTheDisplay() throws {
            let display = try VirtualDevice("bochs-display")
            let printed = try Program.run(
                Program.folder.appendingPathComponent("mediated"),
                ["attach-args", display.socket, "--libvirt", "--memory", "512M"])
            #expect(printed.status == 0)
            let libvirt = try Libvirt()
            let domain = try Domain(printed.output, in: libvirt)
            try domain.awaitReady()
            #expect(try domain.run("cat /proc/fb").output.contains("bochs"))
            #expect(try domain.run("cat /sys/bus/pci/devices/*/vendor").output.contains("0x1234"))
            #expect(try libvirt.virsh("dominfo", "lab").contains("524288 KiB"))
            #expect(try domain.run("fbpattern").status == 0)
            try display.expectPattern(width: 1024, height: 768)
            #expect(try libvirt.virsh("domstate", "lab").hasPrefix("running"))
            try libvirt.virsh("destroy", "lab")
            try display.awaitClientLeft()
        }
    }
}
