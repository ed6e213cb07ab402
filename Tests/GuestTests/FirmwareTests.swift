import Foundation
import Lab
import Programs
import Testing

extension GuestTests {
    /// UEFI's own drivers on displays of this project.
    @Suite(.serialized) struct FirmwareTests {
        /// The firmware writes its text on every display that it finds: beside ours stands QEMU's own of the same kind.
        @Test(arguments: [
            ("virtio-gpu", [], "virtio-gpu-pci"), ("virtio-gpu", ["packed=on", "blob=on"], "virtio-gpu-pci"),
            ("bochs-display", [], "bochs-display"),
        ])
        func uefiShowsTheSameTextAsOnQEMUsOwnDisplay(type: String, options: [String], rival: String) throws {
            let display = try VirtualDevice(type, options: options)
            let own = "\(rival),id=own,xres=1024,yres=768"
            let machine = try Machine(devices: [display.argument(), own], boot: Lab.uefi)
            // The shell counts seconds down and then prompts, on its serial console too.
            _ = try machine.agent.waitFor("Shell> ")
            // It writes to one console after the other: the last letter may still be on its way.
            let isTheSame = try machine.retry {
                let expected = try machine.screenshot(of: "own")
                // A screen is black at first.
                let hasLetters = expected.joined().count { $0 > 0x80 } > 3000
                return try hasLetters && display.picture().rows == expected ? true : nil
            }
            #expect(isTheSame == true)
        }
    }
}

extension Machine {
    /// What one of QEMU's own displays shows: its lines, 3 bytes for each pixel.
    fileprivate func screenshot(of device: String) throws -> [[UInt8]] {
        let folder = try Scratch()
        let path = folder.path("screen.ppm")
        try execute("screendump", "{\"filename\":\"\(path)\",\"device\":\"\(device)\"}")
        // ppm(5): "P6", width and height, the highest value, each ended by white space.
        let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        let words = data.prefix(32).split(maxSplits: 4, whereSeparator: { $0 == 0x20 || $0 == 0x0A })
        let header = words.prefix(4).map { String(decoding: $0, as: UTF8.self) }
        guard header.count == 4, header[0] == "P6", let width = Int(header[1]), let height = Int(header[2]),
            header[3] == "255", data.count >= width * height * 3
        else { throw GuestError("QEMU's picture begins with \(header).") }
        let pixels = data.suffix(width * height * 3)
        return (0..<height).map { Array(pixels.dropFirst($0 * width * 3).prefix(width * 3)) }
    }
}
