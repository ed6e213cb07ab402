import Foundation
import Lab
import Programs
import Testing

extension GuestTests {
    /// `mediated observe` between QEMU and a device.
    @Suite(.serialized) struct ObserverTests {
        @Test(arguments: [[], ["--trap"]])
        func aGuestReachesMemoryAndDMAThroughAnObserver(_ options: [String]) throws {
            let exerciser = try VirtualDevice("exerciser")
            let file = exerciser.path("seen.pcapng")
            let observer = Process()
            let errors = Pipe()
            observer.executableURL = try Program.folder.appendingPathComponent("mediated")
            observer.arguments =
                ["observe", "--listen", exerciser.path("seen"), "--connect", exerciser.socket, "--record", file]
                + options
            observer.standardError = errors
            try observer.run()
            defer { if observer.isRunning { observer.terminate() } }
            try errors.read(until: "can connect to")
            let argument = exerciser.argument(",\"addr\":\"0x5\"")
                .replacingOccurrences(of: exerciser.socket, with: exerciser.path("seen"))
            let machine = try Machine(devices: [argument], boot: Lab.boot("6.12", append: " memmap=1M$0x1f000000"))
            try machine.awaitReady()
            func memory(_ arguments: String) throws -> String { try machine.run("pcimem 00:05.0 \(arguments)").output }
            _ = try memory("config w2 4 0x6")
            _ = try memory("2 w4 0x1000 0xcafe0001")
            #expect(try memory("2 r4 0x1000").contains("cafe0001"))
            // The buffer to RAM.
            _ = try memory("0 w8 0x28 0x1f000000")
            _ = try memory("0 w4 0x30 16")
            _ = try memory("0 w4 0x38 2")
            #expect(try memory("0 r4 0x3c").contains("00000000"))
            #expect(try machine.run("devmem 0x1f000000 32").output.lowercased().contains("cafe0001"))
            machine.end()
            try exerciser.awaitClientLeft()
            observer.interrupt()
            observer.waitUntilExit()
            #expect(observer.terminationStatus == 0)
            guard Tshark.isThere else { return }
            #expect(try Tshark.malformed(file).isEmpty)
            let mapped = "vfio_user.command == \"REGION_WRITE\" && vfio_user.region == 2 && vfio_user.offset == 0x1000"
            // Only with --trap is what goes to mapped memory a message.
            #expect(try Tshark.fields(file, ["number"], filter: mapped).isEmpty == options.isEmpty)
            #expect(
                try !Tshark.fields(file, ["number"], filter: "vfio_user.descriptors contains \"memfd\"").isEmpty)
        }
    }
}
