import Linux
import Testing

@testable import VirtioGPUDriver

/// A queue whose device doesn't answer.
@Suite struct DriverQueueTests {
    private var queue: DriverQueue

    init() throws {
        let memory = try MemoryFile(name: "queue", size: DriverQueue.memorySize)
        queue = DriverQueue(in: memory, at: 1 << 32)
    }

    private static func submit(_ size: Int) -> GPUCommand {
        .submit(context: 1, stream: [UInt8](repeating: 0, count: size))
    }

    @Test mutating func aStreamThatFindsNoBlockIsRefused() throws {
        while queue.hasRoom(for: 1, stream: GPUCommand.maximumStream) {
            try queue.add(Self.submit(GPUCommand.maximumStream), token: 1)
        }
        let count = queue.countInFlight
        #expect(!queue.hasRoom(for: 1, stream: 4))
        do throws(DriverError) {
            try queue.add(Self.submit(4), token: 2)
            Issue.record("It found room.")
        } catch {
            #expect(error.description == DriverError.queueFull.description)
        }
        #expect(queue.countInFlight == count)
        // One of nothing takes no block.
        try queue.add(Self.submit(0), token: 3)
        #expect(queue.countInFlight == count + 1)
    }

    @Test mutating func aCommandThatFindsNoDescriptorIsRefused() throws {
        while queue.hasRoom(for: 1, stream: 0) { try queue.add(.destroyContext(id: 1), token: 1) }
        #expect(queue.countInFlight == DriverQueue.size / 2)
        #expect(throws: DriverError.self) { try queue.add(.destroyContext(id: 1), token: 2) }
        #expect(queue.countInFlight == DriverQueue.size / 2)
    }
}
