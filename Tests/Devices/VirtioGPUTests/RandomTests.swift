import CLinux
import Device
import JSON
import SeededRandom
import Testing

@testable import VirtioGPU

/// Many commands that nobody has thought of.
@Suite struct RandomTests {
    private struct Guest {
        var random: SplitMix

        /// A number that is mostly small, sometimes at an edge.
        mutating func number(_ small: Int) -> UInt32 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0: [0, .max, 1 << 31, 16384, 16385].randomElement(using: &random) ?? 0
            default: UInt32(Int.random(in: 0..<small, using: &random))
            }
        }

        mutating func area() -> [UInt32] { [number(8), number(8), number(40), number(40)] }

        mutating func request() -> (bytes: [UInt8], queue: Queue) {
            let id = number(6)
            let types: [virtio_gpu_ctrl_type] = [
                VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, VIRTIO_GPU_CMD_RESOURCE_UNREF, VIRTIO_GPU_CMD_SET_SCANOUT,
                VIRTIO_GPU_CMD_RESOURCE_FLUSH, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
                VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
                VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, VIRTIO_GPU_CMD_UPDATE_CURSOR,
                VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
            ]
            let type = types.randomElement(using: &random) ?? VIRTIO_GPU_CMD_GET_DISPLAY_INFO
            let count = Int.random(in: 0..<4, using: &random)
            let entries = (0..<count).flatMap { _ in
                wire(UInt64(0x10_0000) + UInt64(number(1 << 20))) + wire([number(8192), 0])
            }
            let body: [UInt8] =
                switch type {
                case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D:
                    wire([id, number(5), Bool.random(using: &random) ? 64 : number(50), 64])
                case VIRTIO_GPU_CMD_SET_SCANOUT: wire(area()) + wire([number(3), id])
                case VIRTIO_GPU_CMD_RESOURCE_FLUSH: wire(area()) + wire([id, 0])
                case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D: wire(area()) + wire(UInt64(number(4096))) + wire([id, 0])
                case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING: wire([id, UInt32(count)]) + entries
                case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
                    wire([id, 1, 0, UInt32(count)]) + wire(UInt64(0)) + wire(UInt64(number(20000))) + entries
                case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
                    wire(area())
                        + wire([number(3), id, number(64), number(64), 2, 0, number(400), 0, 0, 0, number(64), 0, 0, 0])
                case VIRTIO_GPU_CMD_UPDATE_CURSOR: wire([number(3), number(9), number(9), 0, id, 1, 2, 0])
                default: wire([id, 0])
                }
            return (header(type) + body, type == VIRTIO_GPU_CMD_UPDATE_CURSOR ? .cursor : .control)
        }
    }

    @Test(arguments: 1...20) func aStateThatCanBeReachedIsOneThatIsTaken(seed: UInt64) throws {
        var guest = Guest(random: SplitMix(seed: seed))
        let driver = try Driver(vram: 128 << 10)
        driver.fill(from: 0, pixels: 1 << 18)
        let other = try Driver(vram: 128 << 10)
        let heads = driver.processor.heads.all.map { (head: $0, watch: $0.watchDamage()) }
        var done = 0
        for step in 0..<400 {
            let (bytes, queue) = guest.request()
            let answer = try #require(driver.send(bytes, from: queue))
            #expect((0x1100...0x1105).contains(answer.type) || (0x1200...0x1205).contains(answer.type))
            if answer.type < 0x1200 { done += 1 }
            for (head, watch) in heads {
                guard let scanout = head.scanout else { continue }
                let end = scanout.offset + (scanout.height - 1) * scanout.stride + scanout.width * 4
                #expect(scanout.offset >= 0 && end <= scanout.memory.size)
                for rectangle in watch.take() {
                    let picture = Rectangle(x: 0, y: 0, width: scanout.width, height: scanout.height)
                    #expect(picture.contains(rectangle))
                }
            }
            guard step % 50 == 0 else { continue }
            let state = driver.processor.state
            try other.processor.restore(JSON(parsing: JSON(encoding: state).text).decode())
            #expect(other.processor.state == state)
        }
        #expect(done > 40, "most of what is asked makes no sense, but not all")
        // Whatever was made can be taken back, and leaves nothing.
        for resource in driver.processor.state.resources { driver.unref(resource.id) }
        #expect(driver.create(1, 256, 128) == Answered.done, "all memory is free")
    }
}
