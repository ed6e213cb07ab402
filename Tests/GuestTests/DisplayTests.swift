import Lab
import Testing

/// Every test that boots a guest: one after the other, for two at a time are slower.
@Suite(.serialized, .enabled(if: Lab.isReady, "there is no lab; 'make lab' brings it")) struct GuestTests {}

extension GuestTests {
    /// The display in real guests.
    @Suite(.serialized) struct DisplayTests {
        @Test(arguments: ["6.1", "6.12"])
        func theStockDriverShowsEveryPixel(kernel: String) throws {
            let display = try VirtualDevice("bochs-display")
            let machine = try Machine(devices: [display.argument()], boot: Lab.boot(kernel))
            try machine.awaitReady()
            #expect(try machine.run("cat /proc/fb").output.contains("bochs"))
            #expect(try machine.run("fbpattern").output == "fb 1024x768 stride 4096 bpp 32 done")
            try display.expectPattern(width: 1024, height: 768)
            #expect(try machine.run("fbpattern --mode 800x600").status == 0)
            try display.expectPattern(width: 800, height: 600)
        }

        @Test func theChosenResolutionIsTheOneThatTheGuestPrefers() throws {
            let display = try VirtualDevice("bochs-display", options: ["resolution=1280x720"])
            let machine = try Machine(devices: [display.argument()], boot: Lab.boot("6.12"))
            try machine.awaitReady()
            #expect(try machine.run("fbpattern").output == "fb 1280x720 stride 5120 bpp 32 done")
            try display.expectPattern(width: 1280, height: 720)
        }

        @Test(arguments: ["bochs-display", "virtio-gpu"])
        func rebootsResetsAndNewMachinesFindTheDisplayAgain(type: String) throws {
            let display = try VirtualDevice(type)
            var machine = try Machine(devices: [display.argument()], boot: Lab.boot("6.1"))
            try machine.awaitReady()
            try machine.start("reboot -f")
            try machine.awaitReady()
            #expect(try machine.run("fbpattern").status == 0)
            try display.expectPattern(width: 1024, height: 768)
            try machine.execute("system_reset")
            try machine.awaitReady()
            #expect(try machine.run("fbpattern --mode 640x480").status == 0)
            try display.expectPattern(width: 640, height: 480)

            machine.end()
            try display.awaitClientLeft()
            machine = try Machine(devices: [display.argument()], boot: Lab.boot("6.12"))
            try machine.awaitReady()
            #expect(try machine.run("fbpattern").status == 0)
            try display.expectPattern(width: 1024, height: 768)
        }

        @Test func firmwareTextAppears() throws {
            let display = try VirtualDevice("bochs-display")
            let rom = ",\"romfile\":\"\(Lab.value("VGABIOS_BOCHS"))\""
            // Without anything to boot, SeaBIOS says so and waits.
            let machine = try Machine(devices: [display.argument(rom)], boot: [])
            let text = try machine.retry { () -> Int? in
                guard let picture = try? display.picture() else { return nil }
                let lit = picture.rows.joined().count { $0 > 0x80 }
                return lit > 3000 ? lit : nil
            }
            #expect(text != nil, "letters, on a screen that is black at first")
            let picture = try display.picture()
            var colours: Set<[UInt8]> = []
            for row in picture.rows {
                for x in 0..<picture.width { colours.insert(Array(row[3 * x..<3 * x + 3])) }
            }
            #expect(colours.count == 2, "text in one colour on black: \(colours)")
        }
    }
}

extension Machine {
    /// Asks until there is an answer, for what no event tells.
    ///
    /// - Returns: nil when there was none in the time that a guest has.
    func retry<Answer>(_ question: () throws -> Answer?) throws -> Answer? {
        for _ in 0..<600 {
            if let answer = try question() { return answer }
            try pause()
        }
        return nil
    }
}
