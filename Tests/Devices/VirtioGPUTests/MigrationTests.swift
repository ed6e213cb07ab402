import CLinux
import Control
import Device
import FakeDriver
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

    /// A guest's driver.
    private struct Guest {
        let driver: VirtioDriver
        private let control: any DriverQueue
        private let area = wire([0, 0, 4, 2])

        init(_ client: Client, _ ram: GuestRAM) throws {
            driver = try VirtioDriver(client, ram: ram)
            #expect(try driver.negotiate(driver.offered))
            control = try driver.queue(0, size: 16)
            _ = try driver.queue(1, size: 16)
            try driver.setDriverOK()
        }

        func move(to client: Client) { driver.registers = client }

        /// - Returns: the response's type.
        func send(_ type: virtio_gpu_ctrl_type, _ body: [UInt8]) throws -> UInt32 {
            let request = header(type) + body
            let answer = driver.allocate(24)
            control.add(.readable(driver.allocate(request), request.count), .writable(answer, 24))
            try driver.notify(control)
            let deadline = Deadline(milliseconds: 60_000)
            while control.takeUsed() == nil {
                try #require(deadline.millisecondsLeft > 0, "There was no answer.")
                // The device does what it has begun before it answers this.
                _ = try driver.deviceConfiguration(0, .long)
            }
            return driver.load(UInt32.self, at: answer)
        }

        /// Makes a picture of four by two pixels of what is in memory, and shows it.
        func show(_ pixels: UInt64) throws {
            #expect(try send(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, wire([1, 2, 4, 2])) == Answered.done)
            let entry = wire([1, 1]) + wire(pixels) + wire([32, 0])
            #expect(try send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, entry) == Answered.done)
            #expect(try send(VIRTIO_GPU_CMD_SET_SCANOUT, area + wire([0, 1])) == Answered.done)
            #expect(try update() == [Answered.done, Answered.done])
        }

        /// Brings what is in memory to the display.
        func update() throws -> [UInt32] {
            let transfer = area + wire(UInt64(0)) + wire([1, 0])
            return [
                try send(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, transfer),
                try send(VIRTIO_GPU_CMD_RESOURCE_FLUSH, area + wire([1, 0])),
            ]
        }
    }
}
