import Control
import Device
import Foundation
import Lab
import Programs
import Testing

/// A device process, confined.
final class VirtualDevice {
    private let process = Process()
    private let folder: Scratch
    private let errors = Pipe()

    var socket: String { folder.path("vgpu") }

    /// Starts a device and waits until it serves.
    ///
    /// - Parameters:
    ///   - arguments: further ones of its program.
    ///   - state: a saved state to begin with.
    ///   - makeRenderer: makes the program that it takes for mediated-renderer, in a folder; nil: that of this build.
    init(
        _ type: String, options: [String] = [], arguments: [String] = [], state: [UInt8]? = nil,
        makeRenderer: ((Scratch) throws -> Void)? = nil
    ) throws {
        folder = try Scratch()
        let program = try Program.folder.appendingPathComponent("mediated-device")
        process.executableURL = program
        if let makeRenderer {
            try makeRenderer(folder)
            // It looks beside itself.
            let copy = URL(fileURLWithPath: folder.path("mediated-device"))
            try FileManager.default.copyItem(at: program, to: copy)
            process.executableURL = copy
        }
        process.arguments =
            [type, "--socket", socket, "--sandbox"] + arguments
            + options.flatMap { ["--option", $0.replacingOccurrences(of: "@", with: folder.path(""))] }
        if let state {
            try Data(state).write(to: URL(fileURLWithPath: folder.path("state")))
            process.arguments?.append(contentsOf: ["--restore", folder.path("state")])
        }
        process.standardError = errors
        try process.run()
        try errors.read(until: "Serving")
    }

    deinit {
        process.terminate()
        process.waitUntilExit()
    }

    /// A path in the device's own folder; options name it as `@NAME`.
    func path(_ name: String) -> String { folder.path(name) }

    /// Waits until the device is free: its process hears a moment after QEMU's end.
    func awaitClientLeft() throws {
        var last = 0
        while try control.info().clientConnected {
            last = try control.events(after: last, within: .seconds(30)).last
        }
    }

    /// The `-device` argument for QEMU.
    func argument(_ more: String = "") -> String {
        "{\"driver\":\"vfio-user-pci\",\"socket\":{\"path\":\"\(socket)\",\"type\":\"unix\"}\(more)}"
    }

    var control: ControlClient {
        get throws { try ControlClient(connectingTo: ControlClient.path(besides: socket)) }
    }

    /// The picture on one of the device's screens, 3 bytes for each pixel.
    func picture(head: Int = 0) throws -> (width: Int, height: Int, rows: [[UInt8]]) {
        let scanout = try control.screenshot(head: head)
        let rows = (0..<scanout.height).map { y in
            var row = [UInt8](repeating: 0, count: scanout.width * 3)
            var span = row.mutableSpan
            scanout.rgbRow(y, into: &span)
            return row
        }
        return (scanout.width, scanout.height, rows)
    }
}

extension VirtualDevice {
    /// Expects what the guest's `fbpattern` draws, pixel by pixel.
    func expectPattern(
        head: Int = 0, width: Int, height: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let picture = try picture(head: head)
        #expect(picture.width == width && picture.height == height, sourceLocation: sourceLocation)
        let wrong = picture.rows.indices.filter { picture.rows[$0] != patternRow($0, width: width) }
        #expect(wrong.isEmpty, "lines that differ: \(wrong.prefix(8))", sourceLocation: sourceLocation)
    }
}
