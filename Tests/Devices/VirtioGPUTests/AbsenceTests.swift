import CLinux
import Device
import FakeDriver
import FakeGuest
import GuestMemory
import Linux
import Testing

@testable import VirtioGPU

/// Memory that is not there, by no fault of the driver's, is waited for.
@Suite struct AbsenceTests {
    private typealias Machine = DeviceTests.Machine
    private static let half: UInt64 = 1 << 19
    private static let features: [UInt64] = [0b1110, 0b1110 | 1 << 34]

    /// Maps a part of the guest's memory.
    private func map(_ range: Range<UInt64>, in machine: Machine) throws {
        try machine.host.memory.map(
            address: machine.ram.address + range.lowerBound, size: UInt64(range.count), access: [.read, .write],
            backing: .file(machine.ram.file.descriptor.duplicate(), offset: range.lowerBound))
    }

    /// Adds a request, and doesn't notify.
    ///
    /// - Returns: where its answer will be.
    private func add(_ request: [UInt8], to machine: Machine) -> UInt64 {
        let answer = machine.driver.allocate(24)
        machine.control.add(.readable(machine.driver.allocate(request), request.count), .writable(answer, 24))
        return answer
    }

    private func type(_ answer: UInt64, of machine: Machine) -> UInt32 {
        machine.driver.load(UInt32.self, at: answer)
    }

    @Test(arguments: features)
    func aFlushThatIsShownMeanwhileIsAnsweredLater(features: UInt64) throws {
        let machine = try Machine("frame-rate=10", features: features)
        try machine.draw([1, 2, 3, 4, 5, 6, 7, 8])
        let flush = wire([0, 0, 4, 2]) + wire([1, 0])
        let answers = (1...3).map { fence in
            add(header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, flags: 1, fence: UInt64(fence)) + flush, to: machine)
        }
        try machine.driver.notify(0)
        machine.host.memory.unmapAll()
        _ = try machine.wait { machine.gpu.driver.processor.pacing.postponed.isEmpty ? true : nil }
        #expect(machine.gpu.failure == nil)
        #expect(machine.control.takeUsed() == nil)
        try map(0..<2 * Self.half, in: machine)
        for answer in answers {
            #expect(try machine.wait { machine.control.takeUsed() }.count == 24)
            #expect(type(answer, of: machine) == Answered.done)
        }
        #expect(machine.control.takeUsed() == nil)
        #expect(machine.gpu.failure == nil)
    }

    @Test(arguments: features)
    func aCommandWaitsForItsPixels(features: UInt64) throws {
        let machine = try Machine(features: features)
        try machine.draw([UInt32](repeating: 0, count: 8))
        let pixels = machine.ram.address + Self.half
        machine.driver.store(wire([1, 2, 3, 4, 5, 6, 7, 8]), at: pixels)
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, wire([1, 0])) == Answered.done)
        let entry = wire([1, 1]) + wire(pixels) + wire([32, 0])
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, entry) == Answered.done)
        machine.host.memory.unmapAll()
        let transfer = wire([0, 0, 4, 2]) + wire(UInt64(0)) + wire([1, 0])
        let answer = add(header(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D) + transfer, to: machine)
        // The queue is there, and what the command leads to is not.
        try map(0..<Self.half, in: machine)
        try machine.host.loop.dispatch(within: .zero)
        #expect(machine.control.takeUsed() == nil)
        try map(Self.half..<2 * Self.half, in: machine)
        #expect(try machine.wait { machine.control.takeUsed() }.count == 24)
        #expect(type(answer, of: machine) == Answered.done)
        #expect(machine.control.takeUsed() == nil)
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_FLUSH, wire([0, 0, 4, 2]) + wire([1, 0])) == Answered.done)
        #expect(machine.picture() == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(machine.gpu.failure == nil)
    }

    /// The driver acts, so the guest runs, with all its memory.
    @Test(arguments: features)
    func pixelsThatAreMissingWhenTheDriverAsksAreAnError(features: UInt64) throws {
        let machine = try Machine(features: features)
        try machine.draw([UInt32](repeating: 0, count: 8))
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, wire([1, 0])) == Answered.done)
        let entry = wire([1, 1]) + wire(UInt64(1) << 40) + wire([32, 0])
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, entry) == Answered.done)
        let transfer = wire([0, 0, 4, 2]) + wire(UInt64(0)) + wire([1, 0])
        #expect(try machine.send(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, transfer) == Answered.unspecified)
    }
}
