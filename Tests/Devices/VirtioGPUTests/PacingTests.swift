import CLinux
import Device
import Linux
import Testing

@testable import VirtioGPU

/// What a driver sees of the frame rate. The clock is the test's.
@Suite struct PacingTests {
    private static let interval: UInt64 = 100_000_000

    /// A driver that shows ten pictures a second at most, and doesn't wait for answers.
    private final class Bench {
        let driver: Driver
        private(set) var now: UInt64 = 0
        /// What the device asked to be woken after; 0: not at all.
        private(set) var alarm: UInt64 = 0
        private lazy var watch = driver.processor.heads[0].watchDamage()
        /// The fences that came back, in their order, each with the type of its response.
        private(set) var fences: [UInt64] = []
        private(set) var types: [UInt32] = []

        init(heads: Int = 1) throws {
            driver = try Driver(heads: heads, frameRate: 10)
            driver.processor.host.clock = { [unowned self] in now }
            driver.processor.onAlarm = { [unowned self] in alarm = $0 }
            for id in [UInt32(1), 2] {
                driver.create(id, 4, 2)
                driver.attach(id, [(0, 32)])
            }
            driver.show(1, [0, 0, 4, 2])
            driver.onReply = { [unowned self] in
                guard let answer = $0.map({ Driver.Answer($0.bytes) }) else { return }
                types.append(answer.type)
                if answer.fence != 0 { fences.append(answer.fence) }
            }
        }

        /// Lets the time pass until the alarm goes off, and further.
        func wake(after more: UInt64 = 0) {
            now += alarm + more
            driver.processor.showDue()
        }

        /// - Parameter fence: 0: none.
        func send(_ type: virtio_gpu_ctrl_type, _ body: [UInt8], fence: UInt64, flags: UInt32 = 1) {
            let request = header(type, flags: fence == 0 ? 0 : flags, fence: fence) + body
            _ = driver.start(request)
        }

        func flush(_ id: UInt32 = 1, _ area: [UInt32] = [0, 0, 4, 2], fence: UInt64 = 0) {
            send(VIRTIO_GPU_CMD_RESOURCE_FLUSH, wire(area) + wire([id, 0]), fence: fence)
        }

        /// Something that takes no time.
        func work(fence: UInt64) {
            send(
                VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, wire([0, 0, 4, 2]) + wire(UInt64(0)) + wire([1, 0]), fence: fence)
        }

        var damage: [Rectangle] { watch.take() }
    }

    private let picture = Rectangle(x: 0, y: 0, width: 4, height: 2)

    @Test func aFlushBeyondTheRateRetiresWhenItIsShown() throws {
        let bench = try Bench()
        bench.flush(fence: 1)
        #expect(bench.fences == [1] && bench.alarm == 0)
        _ = bench.damage
        bench.flush(fence: 2)
        #expect(bench.fences == [1] && bench.damage == [])
        #expect(bench.alarm == Self.interval)
        bench.wake()
        #expect(bench.fences == [1, 2] && bench.damage == [picture])
        #expect(bench.alarm == 0, "nothing wakes a device that has nothing to show")
    }

    @Test func anAlarmThatIsEarlyIsSetAnew() throws {
        let bench = try Bench()
        bench.flush()
        bench.flush(fence: 1)
        bench.driver.processor.showDue()
        #expect(bench.fences == [] && bench.alarm == Self.interval)
    }

    @Test func whoIsSlowerThanTheRateNeverWaits() throws {
        let bench = try Bench()
        for fence in 1...5 {
            bench.flush(fence: UInt64(fence))
            #expect(bench.fences.last == UInt64(fence))
            bench.wake(after: Self.interval)
        }
    }

    /// As Linux's driver does, whose flushes have no fences.
    @Test func whatIsDrawnBehindAFlushWithoutFenceRetiresWithIt() throws {
        let bench = try Bench()
        bench.flush()
        bench.work(fence: 1)
        #expect(bench.fences == [1])
        bench.flush()
        #expect(bench.types.count == 3, "it is answered at once")
        bench.work(fence: 2)
        bench.work(fence: 3)
        #expect(bench.fences == [1])
        bench.wake()
        #expect(bench.fences == [1, 2, 3])
        #expect(bench.types.allSatisfy { $0 == Answered.done })
    }

    @Test func whoDrawsAheadGetsOnePictureForEachInterval() throws {
        let bench = try Bench()
        var drawn: UInt64 = 0
        // A driver that draws two pictures, then waits for the first of them before it draws another one.
        func draw() {
            drawn += 1
            bench.flush()
            bench.work(fence: drawn)
        }
        draw()
        draw()
        while bench.now < 20 * Self.interval {
            while bench.fences.count + 2 > Int(drawn) { draw() }
            bench.wake()
        }
        #expect((20...23).contains(drawn), "\(drawn)")
    }

    @Test func commandsWithoutFenceAndOtherTimelinesWaitForNothing() throws {
        let bench = try Bench()
        bench.flush()
        bench.flush(fence: 1)
        let before = bench.types.count
        bench.work(fence: 0)
        #expect(bench.types.count == before + 1)
        bench.send(VIRTIO_GPU_CMD_RESOURCE_UNREF, wire([99, 0]), fence: 2, flags: 3)
        #expect(bench.fences == [2])
        #expect(bench.driver.point(0, x: 7) == Answered.done)
        #expect(bench.driver.processor.heads[0].pointer?.x == 7)
    }

    @Test func whoWaitsForNothingHasItsPicturesJoined() throws {
        let bench = try Bench()
        for _ in 0..<1000 { bench.flush() }
        #expect(bench.types.count == 1000)
        #expect(bench.driver.processor.pacing.postponed.count == Int(FramePacer.depth))
        bench.work(fence: 1)
        var shown = 0
        _ = bench.damage
        while bench.alarm > 0 {
            bench.wake()
            shown += bench.damage.count
        }
        // All was shown with the first of them.
        #expect(shown == 1)
        #expect(bench.fences == [1] && bench.now == FramePacer.depth * Self.interval)
    }

    @Test func whatWasFlushedMeanwhileIsShownTogether() throws {
        let bench = try Bench()
        bench.flush()
        _ = bench.damage
        bench.flush(1, [0, 0, 1, 1])
        bench.flush(1, [1, 1, 2, 1])
        bench.wake()
        #expect(bench.damage == [Rectangle(x: 0, y: 0, width: 3, height: 2)])
    }

    @Test func aHeadShowsWhatItHasWhenTheMomentComes() throws {
        let bench = try Bench()
        bench.flush()
        bench.flush(fence: 1)
        bench.driver.show(2, [1, 0, 2, 2])
        _ = bench.damage
        bench.wake()
        #expect(bench.fences == [1] && bench.damage == [Rectangle(x: 0, y: 0, width: 2, height: 2)])
        // And nothing when it is off.
        bench.flush(2, fence: 2)
        bench.driver.show(0, [0, 0, 0, 0])
        bench.wake()
        #expect(bench.fences == [1, 2] && bench.damage == [])
    }

    @Test func aBlobIsCopiedWhenItsMomentComes() throws {
        let bench = try Bench()
        bench.driver.fill(from: 4096, pixels: 8)
        bench.driver.createBlob(3, size: 32, [(4096, 32)])
        bench.driver.showBlob(3, [0, 0, 4, 2], width: 4, height: 2, stride: 16)
        bench.flush(3)
        bench.driver.fill(from: 4096, pixels: 8, seed: 100)
        bench.flush(3, fence: 1)
        #expect(bench.driver.picture() == [[0, 1, 2, 3], [4, 5, 6, 7]])
        bench.wake()
        #expect(bench.driver.picture() == [[100, 101, 102, 103], [104, 105, 106, 107]])
        bench.flush(3, fence: 2)
        bench.driver.send(VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, wire([3, 0]))
        bench.wake()
        #expect(bench.fences == [1, 2] && bench.types.last == Answered.unspecified)
    }

    @Test func eachHeadHasARateOfItsOwn() throws {
        let bench = try Bench(heads: 2)
        bench.driver.show(2, [0, 0, 4, 2], at: 1)
        bench.flush(1, fence: 1)
        bench.flush(2, fence: 2)
        #expect(bench.fences == [1, 2])
        // What both show has its moment when both may.
        bench.driver.show(1, [0, 0, 4, 2], at: 1)
        bench.flush(1, fence: 3)
        #expect(bench.fences == [1, 2])
        bench.wake()
        #expect(bench.fences == [1, 2, 3])
    }

    @Test func whatNoHeadShowsIsNoPicture() throws {
        let bench = try Bench()
        bench.flush()
        bench.flush(2, fence: 1)
        #expect(bench.fences == [1] && bench.alarm == 0)
        bench.flush(9, fence: 2)
        bench.flush(1, [0, 0, 5, 2], fence: 3)
        #expect(bench.types.suffix(2) == [Answered.invalidResource, Answered.invalidParameter])
    }

    @Test func anotherRateIsInForceAtOnce() throws {
        let bench = try Bench()
        for fence in 0...3 { bench.flush(fence: UInt64(fence)) }
        #expect(bench.fences == [])
        bench.driver.processor.frameRate = 20
        #expect(bench.fences == [1, 2, 3] && bench.alarm == 0)
        bench.flush(fence: 4)
        bench.flush(fence: 5)
        #expect(bench.fences == [1, 2, 3, 4] && bench.alarm == Self.interval / 2)
        bench.driver.processor.frameRate = 0
        for fence in 6...9 { bench.flush(fence: UInt64(fence)) }
        #expect(bench.fences == [1, 2, 3, 4, 5, 6, 7, 8, 9])
    }

    @Test func aResetForgetsWhatWaits() throws {
        let bench = try Bench()
        bench.flush()
        bench.flush(fence: 1)
        bench.driver.processor.reset()
        #expect(bench.alarm == 0)
        bench.wake(after: 9 * Self.interval)
        #expect(bench.fences == [])
        bench.driver.create(1, 4, 2)
        bench.driver.show(1, [0, 0, 4, 2])
        bench.flush(fence: 2)
        #expect(bench.fences == [2])
    }

    @Test func aRestoredDeviceShowsNothingOfWhatWaited() throws {
        let bench = try Bench()
        bench.flush()
        bench.flush(fence: 1)
        bench.flush()
        try bench.driver.processor.restore(bench.driver.processor.state)
        #expect(bench.alarm == 0)
        _ = bench.damage
        bench.wake(after: 9 * Self.interval)
        #expect(bench.fences == [] && bench.damage == [])
        // What is flushed now is no more than what is asked for.
        bench.flush(1, [1, 1, 1, 1], fence: 2)
        #expect(bench.fences == [2] && bench.damage == [Rectangle(x: 1, y: 1, width: 1, height: 1)])
    }

    // MARK: The whole device

    @Test func theDevicesOwnTimerShowsWhatWaits() throws {
        let machine = try DeviceTests.Machine("frame-rate=240")
        try machine.draw([1, 2, 3, 4, 5, 6, 7, 8])
        for fence in 1...4 {
            let flush = header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, flags: 1, fence: UInt64(fence))
            let answer = try machine.send(flush + wire([0, 0, 4, 2]) + wire([1, 0]), room: 24)
            #expect((word(answer, 0), word(answer, 8)) == (Answered.done, UInt32(fence)))
        }
    }

    @Test func standingStillMeansThatNothingWaits() throws {
        let machine = try DeviceTests.Machine("frame-rate=1")
        try machine.draw([1, 2, 3, 4, 5, 6, 7, 8])
        let request = header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, flags: 1, fence: 1) + wire([0, 0, 4, 2]) + wire([1, 0])
        let address = machine.driver.allocate(request)
        let answer = machine.driver.allocate(24)
        machine.control.add([.readable(address, request.count), .writable(answer, 24)], isIndirect: false)
        try machine.driver.notify(machine.control)
        #expect(machine.control.takeUsed() == nil)
        machine.gpu.setRunning(false)
        #expect(machine.control.takeUsed() != nil)
    }
}
