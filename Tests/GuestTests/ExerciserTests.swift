import Lab
import Testing

extension GuestTests {
    /// Registers, mapped memory and DMA of the exerciser, from a real guest.
    @Suite(.serialized) struct ExerciserTests {
        @Test(arguments: ["6.1", "6.12"])
        func registersMemoryAndDMAWork(kernel: String) throws {
            let exerciser = try VirtualDevice("exerciser")
            // A piece of RAM that the kernel leaves alone, for DMA.
            let machine = try Machine(
                devices: [exerciser.argument(",\"addr\":\"0x5\"")],
                boot: Lab.boot(kernel, append: " memmap=1M$0x1f000000"))
            try machine.awaitReady()
            func memory(_ arguments: String) throws -> String { try machine.run("pcimem 00:05.0 \(arguments)").output }

            _ = try memory("config w2 4 0x6")
            #expect(try memory("0 r4 0").contains("000111e9"))
            _ = try memory("0 w4 4 0x12345678")
            #expect(try memory("0 r4 4").contains("12345678"))

            _ = try memory("2 w4 0x1000 0xcafe0001")
            #expect(try memory("2 r4 0x1000").contains("cafe0001"))

            // The buffer to RAM, and from there to another place.
            _ = try memory("0 w8 0x28 0x1f000000")
            _ = try memory("0 w4 0x30 16")
            _ = try memory("0 w4 0x38 2")
            #expect(try memory("0 r4 0x3c").contains("00000000"))
            #expect(try machine.run("devmem 0x1f000000 32").output.lowercased().contains("cafe0001"))
            _ = try memory("0 w8 0x20 0x1f000000")
            _ = try memory("0 w8 0x28 0x1f000ff8")
            _ = try memory("0 w4 0x38 3")
            #expect(try machine.run("devmem 0x1f000ff8 32").output.lowercased().contains("cafe0001"))
            #expect(try machine.run("cat /sys/bus/pci/devices/0000:00:05.0/class").output == "0xff0000")
        }
    }
}
