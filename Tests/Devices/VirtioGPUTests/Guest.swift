import CLinux
import FakeDriver
import FakeGuest
import Linux
import Testing
import VFIOUserClient

/// A guest that draws with the device, through a client's registers.
struct Guest {
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
        let deadline = Deadline(after: .seconds(60))
        while control.takeUsed() == nil {
            try #require(!deadline.hasPassed, "There was no answer.")
            // The device does what it has begun before it answers this.
            _ = try driver.deviceConfiguration(0, .dword)
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
