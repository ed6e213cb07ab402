import Foundation
import KVM
import Programs
import Testing

@Suite struct KVMRunTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func image(_ bytes: [UInt8]) throws -> String {
        let path = scratch.path("guest")
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// Prints "ok", looks for the device in slot 1 and ends with the low byte of its vendor.
    private static let program: [UInt8] = [
        0xb0, 0x6f, 0xe6, 0xe9,  // mov $'o', %al; out %al, $0xe9
        0xb0, 0x6b, 0xe6, 0xe9,  // mov $'k', %al; out %al, $0xe9
        0x66, 0xb8, 0x00, 0x08, 0x00, 0x80,  // mov $0x80000800, %eax
        0xba, 0xf8, 0x0c, 0x66, 0xef,  // mov $0xcf8, %dx; out %eax, %dx
        0xba, 0xfc, 0x0c, 0xec,  // mov $0xcfc, %dx; in %dx, %al
        0xe6, 0xf4, 0xf4,  // out %al, $0xf4; hlt
    ]

    @Test(.enabled(if: VirtualMachine.isAvailable, "There is no usable /dev/kvm."))
    func aGuestPrintsAndEndsWithItsStatus() throws {
        let serial = try RunningDevice("serial", in: scratch)
        let outcome = try Command.run(
            "kvm", "run", "--device", serial.socket, "--guest", image(Self.program), "--statistics")
        #expect(outcome.output == "ok")
        // The serial card's vendor is 0x1b36; a slot without a device would give 0xff.
        #expect(outcome.status == 0x36, "\(outcome.errors)")
        #expect(outcome.errors.contains("port-writes 4\n"))
        #expect(outcome.errors.contains("port-reads 1\n"))
        #expect(outcome.errors.contains("memory-reads 0\n"))
    }

    @Test(.enabled(if: VirtualMachine.isAvailable, "There is no usable /dev/kvm."))
    func aDeviceThatIsNotThereIsNamed() throws {
        let none = scratch.path("none")
        let outcome = try Command.run("kvm", "run", "--device", none, "--guest", image(Self.program))
        #expect(outcome.status == 69)
        #expect(outcome.errors == "mediated: Can't connect to '\(none)': No such file or directory.\n")
    }

    @Test func aGuestThatIsNotThereIsNamed() throws {
        let none = scratch.path("none")
        let outcome = try Command.run("kvm", "run", "--guest", none)
        #expect(outcome.status == 66)
        #expect(outcome.errors == "mediated: Can't read the guest '\(none)': No such file or directory.\n")
    }

    @Test func aGuestThatIsEmptyIsRefused() throws {
        let guest = try image([])
        let outcome = try Command.run("kvm", "run", "--guest", guest)
        #expect(outcome.status == 64)
        #expect(outcome.errors == "mediated: The guest '\(guest)' is empty.\n")
    }

    @Test(arguments: [["--memory", "1K"], ["--memory", "4G"], ["--processors", "0"], ["--processors", "17"]])
    func impossibleSizesAreUsageErrors(option: [String]) throws {
        let outcome = try Command.run(["kvm", "run", "--guest", "guest"] + option)
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("must be from"))
    }
}
