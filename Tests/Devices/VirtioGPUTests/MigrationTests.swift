import CLinux
import Control
import Device
import FakeGuest
import Foundation
import Linux
import Programs
import Testing
import VFIOUserClient

/// A display's state goes from one device process to another by the messages of VFIO's migration protocol.
@Suite struct MigrationTests {
    @Test(arguments: ["packed=off", "packed=on"])
    func aDisplayGoesOnInANewProcess(ring: String) throws {
        let ram = try GuestRAM(at: 0x10_0000, size: 1 << 20)
        let first = try DeviceProcess(ring)
        let client = try first.client(ram)
        let guest = try Guest(client, ram)
        let pixels = guest.driver.allocate(wire([0xff_0000, 0x00_ff00, 0x00_00ff, 0, 1, 2, 3, 4]))
        try guest.show(pixels)
        let picture = try first.picture()
        #expect(picture.first == [255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0])
        let state = try client.saveState()
        first.end()

        let second = try DeviceProcess(ring)
        let other = try second.client(ram)
        try other.restore(state)
        #expect(try second.picture() == picture)
        // The driver knows nothing of it: the same rings, the same resource, the same memory behind that.
        guest.move(to: other)
        guest.driver.store(wire([0xff_ffff]), at: pixels)
        #expect(try guest.update() == [Answered.done, Answered.done])
        #expect(try second.picture().first == [255, 255, 255, 0, 255, 0, 0, 0, 255, 0, 0, 0])
        #expect(try guest.send(VIRTIO_GPU_CMD_RESOURCE_UNREF, wire([9, 0])) == Answered.invalidResource)
    }

    /// A device process that nobody confines.
    private final class DeviceProcess {
        private let scratch: Scratch
        private let process = Process()
        private let errors = Pipe()

        /// Returns when it serves.
        init(_ option: String) throws {
            scratch = try Scratch()
            process.executableURL = try Program.folder.appendingPathComponent("mediated-device")
            process.arguments = ["virtio-gpu", "--socket", scratch.path("vgpu"), "--option", option]
            process.standardError = errors
            try process.run()
            try errors.read(until: "Serving")
        }

        deinit { end() }

        func end() {
            process.terminate()
            process.waitUntilExit()
        }

        func client(_ ram: GuestRAM) throws -> Client {
            let client = try Client(path: scratch.path("vgpu"))
            try client.map(address: ram.address, size: 1 << 20, file: ram.file.descriptor)
            return client
        }

        /// What the first head shows: its lines, 3 bytes for each pixel.
        func picture() throws -> [[UInt8]] {
            let control = try ControlClient(connectingTo: ControlClient.path(besides: scratch.path("vgpu")))
            let scanout = try control.screenshot(head: 0)
            return (0..<scanout.height).map { y in
                var row = [UInt8](repeating: 0, count: scanout.width * 3)
                var span = row.mutableSpan
                scanout.rgbRow(y, into: &span)
                return row
            }
        }
    }
}
