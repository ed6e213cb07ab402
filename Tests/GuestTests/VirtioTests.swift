import Lab
import Testing

extension GuestTests {
    /// The kernel's own virtio drivers on devices of this project.
    @Suite(.serialized) struct VirtioTests {
        @Test(arguments: ["6.1", "6.12"], ["on", "off"])
        func aGuestReadsRandomNumbers(kernel: String, packed: String) throws {
            let entropy = try VirtualDevice("virtio-rng", options: ["packed=\(packed)"])
            let machine = try Machine(
                devices: [entropy.argument(",\"addr\":\"0x5\"")], boot: Lab.boot(kernel))
            try machine.awaitReady()
            let device = "/sys/bus/pci/devices/0000:00:05.0"
            #expect(try machine.run("basename $(readlink \(device)/driver)").output == "virtio-pci")
            #expect(try machine.run("basename $(readlink \(device)/virtio*/driver)").output == "virtio_rng")
            // Character 34, from 0, of the features as the kernel lists them: VIRTIO_F_RING_PACKED.
            #expect(try machine.run("cut -c 35 \(device)/virtio*/features").output == (packed == "on" ? "1" : "0"))
            #expect(try machine.run("cat /sys/class/misc/hw_random/rng_current").output.hasPrefix("virtio_rng"))
            #expect(try machine.run("head -c 4096 /dev/hwrng | wc -c").output == "4096")
            let first = try machine.run("head -c 16 /dev/hwrng | hexdump -C").output
            #expect(try machine.run("head -c 16 /dev/hwrng | hexdump -C").output != first)
        }
    }
}
