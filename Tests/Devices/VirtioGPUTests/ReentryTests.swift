import CLinux
import Device
import FakeDriver
import GuestMemory
import Linux
import Testing

@testable import VirtioGPU

/// A hypervisor that moves the bytes itself may reset the device while it is waited for, or take a queue away.
@Suite struct ReentryTests {
    /// Guest memory of zeros, by messages.
    private final class Remote: RemoteMemory {
        /// Called in the midst of each read.
        var whileWaiting: () -> Void = {}

        func read(_ address: UInt64, into target: inout MutableRawSpan) throws(DMAError) {
            whileWaiting()
        }

        func write(_ address: UInt64, from bytes: RawSpan) throws(DMAError) {}
    }

    private static let address: UInt64 = 0x40_0000

    private func driver(_ remote: Remote, frameRate: Int = 0) throws -> Driver {
        let driver = try Driver(frameRate: frameRate)
        try driver.processor.host.memory.map(
            address: Self.address, size: 1 << 16, access: [.read, .write], backing: .remote(remote))
        remote.whileWaiting = { [unowned driver] in driver.processor.reset() }
        return driver
    }

    private func isEmpty(_ driver: Driver) -> Bool {
        driver.processor.state.resources.isEmpty && driver.picture() == nil && driver.processor.heads[0].cursor == nil
            && driver.processor.memory.used == 0
    }

    /// One piece of guest memory there, as entries have it.
    private let entry = wire([1, 1]) + wire(address) + wire([1 << 16, 0])

    @Test func aResetInTheMidstOfATransfer() throws {
        let remote = Remote()
        let driver = try driver(remote)
        driver.create(1, 8, 8)
        driver.send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, entry)
        driver.show(1, [0, 0, 8, 8])
        driver.transfer(1, [0, 0, 4, 8])
        #expect(isEmpty(driver))
        #expect(driver.create(1, 8, 8) == Answered.done)
    }

    @Test(arguments: [0, 1]) func aResetInTheMidstOfAFlush(frameRate: Int) throws {
        let remote = Remote()
        let driver = try driver(remote, frameRate: frameRate)
        let host = driver.processor.host
        driver.createBlob(1, size: 256, [])
        driver.send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, entry)
        driver.showBlob(1, [0, 0, 4, 8], width: 8, height: 8, stride: 32)
        if frameRate > 0 {
            // The first is shown at once, and is the one that the rate counts from.
            remote.whileWaiting = {}
            driver.flush(1, [0, 0, 8, 8])
            remote.whileWaiting = { [unowned driver] in driver.processor.reset() }
            driver.flush(1, [0, 0, 8, 8])
            #expect(driver.processor.pacing.postponed.count == 1)
            host.clock = { .max }
            driver.processor.showDue()
        } else {
            driver.flush(1, [0, 0, 8, 8])
        }
        #expect(isEmpty(driver))
        #expect(driver.processor.pacing.postponed.isEmpty)
    }

    @Test func aResetInTheMidstOfACursor() throws {
        let remote = Remote()
        let driver = try driver(remote)
        driver.createBlob(1, size: 16384, [])
        driver.send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, entry)
        driver.point(1)
        #expect(driver.processor.state.resources.isEmpty)
    }

    /// Its chains are not in flight any more, though others have their numbers.
    @Test func aQueueThatIsSetUpAnewGetsNothingOfWhatWasAskedBefore() throws {
        let machine = try DeviceTests.Machine("frame-rate=1", features: 0b1110 | 1 << 40)
        try machine.draw([1, 2, 3, 4, 5, 6, 7, 8])
        func start(_ request: [UInt8], on queue: any DriverQueue) throws -> UInt64 {
            let answer = machine.driver.allocate(24)
            queue.add(.readable(machine.driver.allocate(request), request.count), .writable(answer, 24))
            try machine.driver.notify(queue)
            return answer
        }
        let flush = header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, flags: 1, fence: 1) + wire([0, 0, 4, 2]) + wire([1, 0])
        let before = try start(flush, on: machine.control)
        try machine.driver.set(.queueSelect, 0)
        try machine.driver.set(.queueReset, 1)
        let queue = try machine.driver.queue(0, size: 16)
        let unref = header(VIRTIO_GPU_CMD_RESOURCE_UNREF, flags: 1, fence: 2) + wire([99, 0])
        let after = try start(unref, on: queue)
        #expect(queue.takeUsed() == nil, "it keeps the order of fences")
        machine.gpu.setRunning(false)
        #expect(queue.takeUsed()?.count == 24)
        #expect(queue.takeUsed() == nil)
        #expect(word(machine.driver.bytes(at: before, count: 24), 0) == 0)
        let answer = machine.driver.bytes(at: after, count: 24)
        #expect((word(answer, 0), word(answer, 8)) == (Answered.invalidResource, 2))
    }
}
