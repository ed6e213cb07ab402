import Foundation
import Lab
import Testing

/// Mesa in a guest: Debian's, below /run/mesa.
enum Mesa {
    /// How a guest that was booted with it starts one of its programs.
    static func command(_ command: String) -> String {
        "MESA_SHADER_CACHE_DISABLE=true chroot /run/mesa /usr/bin/\(command)"
    }
}

extension Machine {
    /// Boots a guest with 3D, and Mesa below /run/mesa.
    convenience init(drawingOn display: VirtualDevice, _ kernel: String = "6.12") throws {
        try self.init(devices: [display.argument()], boot: Lab.boot(kernel) + Lab.mesa)
        try awaitReady()
        let mount = "mkdir /run/mesa && mount -t ext4 -o ro /dev/vda /run/mesa && mount -t tmpfs tmp /run/mesa/tmp"
        #expect(try run(mount).status == 0)
        for folder in ["dev", "proc", "sys"] { try run("mount --bind /\(folder) /run/mesa/\(folder)") }
    }
}

extension VirtualDevice {
    /// What `glscene` and `vkscene` draw, within two steps of each colour but on the circle's edge.
    func expectScene(width: Int, height: Int) throws {
        let rows = try picture().rows
        try #require(rows.count == height && rows.first?.count == width * 3)
        var differing = 0
        for y in 0..<height {
            for x in 0..<width {
                let (left, top) = (Double(x) + 0.5, Double(y) + 0.5)
                let distance = hypot(left - Double(width) / 2, top - Double(height) / 2) - Double(height) / 4
                let red = 255 * left / Double(width)
                let green = 255 * (1 - top / Double(height))
                let blue = distance < 0 ? 255.0 : 0
                let pixel = (0..<3).map { Double(rows[y][3 * x + $0]) }
                let isRight =
                    abs(pixel[0] - red) <= 2 && abs(pixel[1] - green) <= 2
                    && (abs(distance) < 1 || pixel[2] == blue)
                if !isRight { differing += 1 }
            }
        }
        #expect(differing == 0)
    }

    /// The renderer's process: the grandchild of the device's.
    func renderer() throws -> Int32 {
        func child(of process: Int32) throws -> Int32 {
            let path = "/proc/\(process)/task/\(process)/children"
            let children = try String(contentsOfFile: path, encoding: .utf8).split(separator: " ")
            return try #require(children.last.flatMap { Int32($0) })
        }
        return try child(of: child(of: control.info().process))
    }
}
