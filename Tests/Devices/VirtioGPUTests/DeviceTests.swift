import CLinux
import Device
import Display
import FakeDriver
import FakeGuest
import Linux
import Testing
import Virtio

@testable import VirtioGPU

/// The device through its queues and registers, as a guest's driver sees it.
@Suite struct DeviceTests {
    typealias GPU = VirtioFunction<VirtioGPU>

    /// A function with the device, a guest's RAM and a driver that is ready.
    final class Machine {
        let gpu: GPU
        let function: Function
        let driver: VirtioDriver
        let host: Host
        let ram: GuestRAM
        private(set) var control: any DriverQueue
        private(set) var cursor: any DriverQueue

        init(_ options: String..., features: UInt64 = 0b1110) throws {
            host = Host(loop: try EventLoop())
            gpu = try GPU(options: DeviceOptions(options, for: GPU.type), host: host)
            function = try Function(gpu, host: host)
            ram = try GuestRAM(at: 0x10_0000, size: 1 << 20)
            try host.memory.map(
                address: ram.address, size: 1 << 20, access: [.read, .write],
                backing: .file(ram.file.descriptor.duplicate(), offset: 0))
            driver = try VirtioDriver(function, ram: ram)
            let offered = try driver.offered.rawValue
            let wanted = VirtioDriver.Feature(rawValue: offered & features).union([.version1, .indirect])
            #expect(try driver.negotiate(wanted))
            control = try driver.queue(0, size: 16)
            cursor = try driver.queue(1, size: 16)
            try driver.setDriverOK()
        }

        /// Sends a request, cut into pieces, and takes the response.
        func send(_ request: [UInt8], room: Int, on queue: (any DriverQueue)? = nil) throws -> [UInt8] {
            let queue = queue ?? control
            let address = driver.allocate(request)
            let answer = driver.allocate(max(room, 1))
            var buffers = [Buffer.readable(address, 10), .readable(address + 10, request.count - 10)]
            if room > 0 { buffers += [.writable(answer, min(room, 7)), .writable(answer + 7, max(0, room - 7))] }
            queue.add(buffers, isIndirect: true)
            try driver.notify(queue)
            let used = try wait { queue.takeUsed() }
            return driver.bytes(at: answer, count: Int(used.count))
        }

        /// Dispatches until there is something.
        func wait<Value>(for value: () throws -> Value?) throws -> Value {
            let deadline = Deadline(after: .seconds(60))
            while true {
                if let value = try value() { return value }
                try #require(!deadline.hasPassed, "It did not come in time.")
                try host.loop.dispatch(within: deadline.left)
            }
        }

        func send(_ type: virtio_gpu_ctrl_type, _ body: [UInt8] = []) throws -> UInt32 {
            word(try send(header(type) + body, room: 24), 0)
        }

        /// Draws a picture of four by two pixels and shows it.
        func draw(_ pixels: [UInt32]) throws {
            let backing = driver.allocate(wire(pixels))
            let area = wire([0, 0, 4, 2])
            #expect(try send(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, wire([1, 2, 4, 2])) == Answered.done)
            let entry = wire([1, 1]) + wire(backing) + wire([32, 0])
            #expect(try send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, entry) == Answered.done)
            #expect(try send(VIRTIO_GPU_CMD_SET_SCANOUT, area + wire([0, 1])) == Answered.done)
            let transfer = area + wire(UInt64(0)) + wire([1, 0])
            #expect(try send(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, transfer) == Answered.done)
            #expect(try send(VIRTIO_GPU_CMD_RESOURCE_FLUSH, area + wire([1, 0])) == Answered.done)
        }

        func picture(_ head: Int = 0) -> [UInt32]? {
            guard let scanout = gpu.driver.heads[head].scanout else { return nil }
            var bytes = [UInt8](repeating: 0, count: scanout.height * scanout.stride)
            let size = bytes.count
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            scanout.memory.copy(at: scanout.offset, count: size, into: &raw)
            return stride(from: 0, to: size, by: 4).map { word(bytes, $0) }
        }
    }

    @Test func driversKnowItByItsNumbers() throws {
        let machine = try Machine()
        #expect(try machine.driver.configuration(0, .dword) == 0x1050_1af4)
        #expect(try machine.driver.configuration(0x0a, .word) == 0x0380)
        #expect(machine.gpu.bars.allSatisfy { $0.layout.index != 2 && $0.mapped.isEmpty })
    }

    @Test(
        arguments: [
            ("heads=0", "from 1 to 4"), ("heads=5", "from 1 to 4"), ("resolution=1024", "WIDTHxHEIGHT"),
            ("resolution=8193x480", "8192x8192"), ("vram=2M", "needs 3M"), ("vram=1G", "from"), ("blob=yes", "'off'"),
        ])
    func optionsThatCanNotBeAreExplained(option: String, part: String) throws {
        let error = #expect(throws: OptionError.self) { _ = try Machine(option) }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    }

    @Test func allHeadsMustFitIntoTheMemory() throws {
        _ = try Machine("heads=4", "vram=12M")
        #expect(throws: OptionError.self) { try Machine("heads=4", "vram=11M") }
        #expect(throws: OptionError.self) { try Machine("resolution=8192x8192", "vram=128M") }
        _ = try Machine("resolution=8192x8192", "vram=256M")
    }

    @Test func blobsAreOfferedWhenAsked() throws {
        #expect(try Machine().driver.offered.rawValue & 0b11111 == 0b00110)
        #expect(try Machine("blob=on").driver.offered.rawValue & 0b11111 == 0b01110)
    }

    @Test func whatTheDriverDidNotTakeIsRefused() throws {
        let machine = try Machine("blob=on", features: 0)
        let blob = wire([1, 1, 0, 0]) + wire(UInt64(0)) + wire(UInt64(64))
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, blob) == Answered.unspecified)
        let taken = try Machine("blob=on")
        #expect(try taken.send(VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, blob) == Answered.done)
    }

    // MARK: Queues

    @Test func aRequestIsAnsweredThroughTheQueue() throws {
        let machine = try Machine("heads=2", "resolution=800x600")
        let answer = try machine.send(header(VIRTIO_GPU_CMD_GET_DISPLAY_INFO, flags: 1, fence: 9), room: 500)
        #expect(answer.count == 408)
        #expect((word(answer, 0), word(answer, 4), word(answer, 8)) == (Answered.displayInfo, 1, 9))
        let numbers = stride(from: 24, to: 72, by: 4).map { word(answer, $0) }
        #expect(numbers == [0, 0, 800, 600, 1, 0, 800, 0, 800, 600, 1, 0])
    }

    @Test func whatIsDrawnIsShown() throws {
        let machine = try Machine()
        #expect(machine.picture() == nil)
        try machine.draw([1, 2, 3, 4, 5, 6, 7, 8])
        #expect(machine.picture() == [1, 2, 3, 4, 5, 6, 7, 8])
    }

    @Test func transfersThatCopyMuchAreDoneInSeveralTurns() throws {
        let machine = try Machine()
        // 16 MiB, each of them the same one of guest memory.
        let entry = wire(machine.ram.address) + wire([1 << 20, 0])
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, wire([1, 2, 2048, 2048])) == Answered.done)
        let backing = wire([1, 16]) + (0..<16).flatMap { _ in entry }
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, backing) == Answered.done)
        let transfer = wire([0, 0, 2048, 2048]) + wire(UInt64(0)) + wire([1, 0])
        let request = machine.driver.allocate(header(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D) + transfer)
        let answer = machine.driver.allocate(24)
        for _ in 0..<6 { machine.control.add([.readable(request, 56), .writable(answer, 24)], isIndirect: true) }
        try machine.driver.notify(machine.control)
        var done = 0
        while machine.control.takeUsed() != nil { done += 1 }
        #expect((1...5).contains(done))
        while done < 6 {
            _ = try machine.wait { machine.control.takeUsed() }
            done += 1
        }
        #expect(word(machine.driver.bytes(at: answer, count: 4), 0) == Answered.done)
    }

    @Test func theCursorQueueNeedsNoRoomForAnswers() throws {
        let machine = try Machine()
        #expect(try machine.send(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, wire([1, 1, 64, 64])) == Answered.done)
        let request = header(VIRTIO_GPU_CMD_UPDATE_CURSOR) + wire([0, 3, 4, 0, 1, 5, 6, 0])
        #expect(try machine.send(request, room: 0, on: machine.cursor) == [])
        #expect(machine.gpu.driver.heads[0].cursor?.hotY == 6)
        #expect(try machine.send(request, room: 100, on: machine.cursor).count == 24)
    }

    @Test func aResponseWithoutRoomIsLeftOut() throws {
        let machine = try Machine()
        #expect(try machine.send(header(VIRTIO_GPU_CMD_GET_DISPLAY_INFO), room: 23) == [])
        #expect(try machine.send(header(VIRTIO_GPU_CMD_GET_DISPLAY_INFO), room: 0) == [])
        #expect(try machine.send(VIRTIO_GPU_CMD_GET_DISPLAY_INFO) == Answered.unspecified)
        #expect(try machine.driver.needsReset == false)
    }

    // MARK: Monitors

    @Test func theGuestIsToldOfMonitors() throws {
        let machine = try Machine("heads=2")
        let driver = machine.driver
        #expect(try (0..<4).map { try driver.deviceConfiguration($0 * 4, .dword) } == [0, 0, 2, 0])
        let generation = try driver[.generation]
        _ = try driver.interruptStatus()
        try machine.gpu.driver.connect(Monitor(width: 1280, height: 720), to: 1)
        #expect(try driver.deviceConfiguration(0, .dword) == 1)
        #expect(try driver.interruptStatus() == 2)
        #expect(try driver[.generation] != generation)
        let info = try machine.send(header(VIRTIO_GPU_CMD_GET_DISPLAY_INFO), room: 408)
        #expect(word(info, 24 + 24 + 8) == 1280)
        // Bits are cleared by ones, and by nothing else.
        try driver.setDeviceConfiguration(0, .dword, 1)
        try driver.setDeviceConfiguration(4, .dword, 0xffff_fffe)
        try driver.setDeviceConfiguration(8, .qword, .max)
        #expect(try driver.deviceConfiguration(0, .qword) == 1)
        try driver.setDeviceConfiguration(4, .byte, 1)
        #expect(try (0..<4).map { try driver.deviceConfiguration($0 * 4, .dword) } == [0, 0, 2, 0])
    }

    @Test func aMonitorThatStaysIsNoNews() throws {
        let machine = try Machine("heads=2")
        try machine.gpu.driver.connect(Monitor(width: 1024, height: 768), to: 1)
        let refused: [(Monitor?, Int, String)] = [
            (nil, 2, "no head 2: it has 2"), (nil, -1, "no head -1"),
            (Monitor(width: 639, height: 480), 1, "from 640x480"),
            (Monitor(width: 640, height: .max), 1, "to 8192x8192"),
            (Monitor(width: 4096, height: 4096), 1, "more than the 67108864"),
        ]
        for (monitor, head, part) in refused {
            let error = #expect(throws: MonitorError.self) { try machine.gpu.driver.connect(monitor, to: head) }
            #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
        }
        #expect(try machine.driver.deviceConfiguration(0, .dword) == 0)
        try machine.gpu.driver.connect(nil, to: 0)
        #expect(try machine.driver.deviceConfiguration(0, .dword) == 1)
    }

    // MARK: Reset and state

    @Test func aResetTurnsHeadsOff() throws {
        let machine = try Machine()
        try machine.draw([1, 2, 3, 4, 5, 6, 7, 8])
        try machine.gpu.driver.connect(Monitor(width: 800, height: 600), to: 0)
        try machine.driver.reset()
        #expect(machine.picture() == nil)
        #expect(try machine.driver.deviceConfiguration(0, .dword) == 0)
        #expect(machine.gpu.driver.state.commands.resources.isEmpty)
    }

    /// All bytes of a function's state.
    private func saved(_ function: Function) throws -> [UInt8] {
        let reader = try StateReader(function)
        var state = [UInt8](repeating: 0, count: reader.size)
        var span = state.mutableSpan
        var bytes = span.mutableBytes
        #expect(reader.read(into: &bytes) == reader.size)
        return state
    }

    @Test func aSavedDisplayShowsTheSameElsewhere() throws {
        let first = try Machine("heads=2")
        try first.draw([1, 2, 3, 4, 5, 6, 7, 8])
        try first.gpu.driver.connect(nil, to: 1)
        let state = try saved(first.function)
        #expect(state.count < 32 << 10, "what nobody has drawn takes no room")
        let second = try Machine("heads=2")
        try second.draw([9, 9, 9, 9, 9, 9, 9, 9])
        let writer = StateWriter(second.function)
        try writer.write(state.span.bytes)
        try writer.finish()
        #expect(second.picture() == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(try second.driver.deviceConfiguration(0, .dword) == 1)
        #expect(try saved(second.function) == state)
    }

    @Test func aStateOfAnotherDisplayIsRefused() throws {
        let state = try saved(Machine("heads=2").function)
        let other = try Machine("heads=1")
        let error = #expect(throws: StateError.self) { try StateWriter(other.function).write(state.span.bytes) }
        #expect(error?.description.contains("memory sizes") == true)
    }

    @Test func aStateWithMoreThanTheMemoryIsRefused() throws {
        let first = try Machine()
        let large = wire([1, 2, 1024, 1025])
        #expect(try first.send(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, large) == Answered.done)
        let state = try saved(first.function)
        let second = try Machine("vram=4M")
        let writer = StateWriter(second.function)
        try writer.write(state.span.bytes)
        let error = #expect(throws: StateError.self) { try writer.finish() }
        #expect(error?.description.contains("don't fit into 4194304 bytes") == true)
    }

    // MARK: Quota

    @Test func theMemoryCanGrowAndShrinkWhileTheGuestUsesIt() throws {
        let machine = try Machine("vram=4M")
        #expect(machine.gpu.driver.quota == Quota(videoMemory: 4 << 20, frameRate: 0))
        let picture = { try machine.send(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, wire([$0, 2, 1024, 768])) }
        #expect(try picture(1) == Answered.done)
        #expect(try picture(2) == Answered.outOfMemory)
        try machine.gpu.driver.apply(Quota(videoMemory: 6 << 20, frameRate: 30))
        #expect(machine.gpu.driver.quota == Quota(videoMemory: 6 << 20, frameRate: 30))
        #expect(try picture(2) == Answered.done)
        for (changes, part) in [
            (Quota(videoMemory: 5 << 20), "use 6291456"), (Quota(videoMemory: 1 << 30), "to 536870912"),
            (Quota(videoMemory: 0), "from 1048576"), (Quota(videoMemory: 8 << 20, frameRate: 241), "to 240"),
        ] {
            let error = #expect(throws: QuotaError.self) { try machine.gpu.driver.apply(changes) }
            #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
        }
        #expect(machine.gpu.driver.quota == Quota(videoMemory: 6 << 20, frameRate: 30))
        #expect(machine.gpu.driver.videoMemoryUsed == 0, "nobody has drawn yet")
    }
}
