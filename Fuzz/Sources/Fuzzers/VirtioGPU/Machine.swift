import Device
import DeviceCatalog
import FakeDriver
import FakeGuest
import FuzzSupport
import GuestMemory
import Linux

/// A virtio-gpu with everything, and a driver that keeps its rings in order and sends the commands that the input says.
final class Machine {
    private let device: FuzzedFunction
    private let driver: VirtioDriver
    private let renderer: ObligingRenderer
    private var queues: [any DriverQueue] = []
    private var slots: [(request: UInt64, response: UInt64)] = []
    private var pixels: Range<UInt64> = 0..<1
    /// What most inputs begin with, made once.
    private var scenery: (memory: Range<UInt64>, requests: [(command: GPUCommand, bytes: [UInt8])])?
    private var ring = VirtioGPUFuzzer.Ring(isPacked: false, hasEventIndex: false, isIndirect: false)
    /// Whether the next renderer would be long in coming.
    private(set) var isSpent = false
    private var mayDie = false
    /// Whether an input has changed what a reset leaves: monitors, and the memory that they may have.
    private var isReconfigured = false

    private typealias Feature = VirtioGPUFuzzer.Feature
    /// A request that the device has, and where the response goes.
    private typealias Sent = (command: GPUCommand, response: UInt64, room: Int)

    private static let size = 1 << 17
    /// Room for a request, and for a response.
    private static let room = 4096
    private static let slotCount = 4
    /// The scenery's requests are short: so many go at once, and what each takes of a slot.
    private static let sceneryCount = 8
    private static let sceneryRoom = 256

    init() throws {
        _ = try StandIn.install()
        (device, renderer) = try ObligingRenderer.serve { path in
            let options = [
                "heads=2", "vram=3M", "resolution=640x480", "blob=on", "renderer=virgl", "render-node=\(path)",
            ]
            return try FuzzedFunction(ramSize: Self.size) {
                try DeviceCatalog.make("virtio-gpu", options: options, host: $0)
            }
        }
        driver = try VirtioDriver(device.function, ram: device.ram)
    }

    /// One input, from the driver's first register on.
    func run(_ input: inout Input, _ reach: inout Reach<VirtioGPUFuzzer.Feature>) throws {
        mayDie = input.may(.death, oneIn: 512)
        try renderer.prepareToEnd()
        if isReconfigured { try reconfigure() }
        try device.begin(input)
        try start(&input, &reach)
        while !input.isEmpty { try step(&input, &reach) }
        if mayDie, !isSpent { try die(&reach) }
        if try driver.needsReset { fuzzFailed("The device gave up.") }
    }

    /// As it was made. Monitors need their memory, which the last input may have taken away.
    private func reconfigure() throws {
        device.function.reset()
        try device.function.apply(Quota(videoMemory: 3 << 20))
        for head in 0..<2 { try device.function.connect(Monitor(width: 640, height: 480), to: head) }
        isReconfigured = false
    }

    private func start(_ input: inout Input, _ reach: inout Reach<VirtioGPUFuzzer.Feature>) throws {
        let shape = input.byte()
        var features = try driver.offered
        ring.isPacked = shape & 1 != 0
        ring.hasEventIndex = shape & 2 != 0
        if !ring.isPacked { features.remove(.packed) }
        if !ring.hasEventIndex { features.remove(.eventIndex) }
        // Mostly with all that the device itself has.
        if shape >> 3 == 0 { features.subtract(VirtioDriver.Feature(rawValue: input.number(bytes: 1))) }
        guard try driver.negotiate(features) else { fuzzFailed("The device refused what it offers.") }
        driver.freeAll()
        queues = try [driver.queue(0, size: 16, vector: 0), driver.queue(1, size: 16, vector: 1)]
        try driver.setDriverOK()
        slots = (0..<Self.slotCount).map { _ in (driver.allocate(Self.room), driver.allocate(Self.room)) }
        let start = driver.allocate(1 << 16)
        pixels = start..<start + 1 << 16
        guard shape & 4 == 0 else { return }
        ring.isIndirect = false
        if scenery?.memory != pixels { scenery = (pixels, RandomGPURequests(input, memory: pixels).scenery()) }
        // A device whose renderer was not asked for anything is soon reset.
        var rest = (scenery?.requests ?? []).filter { shape & 0x80 == 0 || !$0.command.needsRenderer }[...]
        while !rest.isEmpty {
            var sent: [Sent] = []
            for request in rest.prefix(Self.sceneryCount) {
                let offset = UInt64(sent.count * Self.sceneryRoom)
                let place = (request: slots[0].request + offset, response: slots[0].response + offset)
                add(request.bytes, Self.sceneryRoom, place, isInPieces: false, to: queues[0])
                sent.append((request.command, place.response, Self.sceneryRoom))
            }
            try finish(sent, on: queues[0], &reach)
            rest = rest.dropFirst(Self.sceneryCount)
        }
    }

    private func step(_ input: inout Input, _ reach: inout Reach<VirtioGPUFuzzer.Feature>) throws {
        let action = input.byte()
        switch action {
        case 0xff:
            guard device.maySave else { return }
            try renderer.prepareToEnd()
            device.saveAndRestore()
            reach.note(.saved)
        case 0xfe: if device.look() { reach.note(.pictureSeen) }
        case 0xfd: driver.store(input.take(Int(input.byte())), at: pixels.lowerBound + input.number(bytes: 2) % 0xff00)
        case 0xfc:
            let shape = input.byte()
            let monitor =
                shape & 0x80 == 0
                ? Monitor(width: 640 + Int(shape), height: 480)
                : Monitor(width: Int(input.number(bytes: 2)), height: Int(input.number(bytes: 2)))
            let head = Int(input.byte() & 3)
            if (try? device.function.connect(input.byte() & 1 == 0 ? nil : monitor, to: head)) != nil {
                isReconfigured = true
                reach.note(.monitorChanged)
            }
        case 0xfb:
            let quota = Quota(videoMemory: Int(input.number(bytes: 1)) << 16)
            isReconfigured = true
            if (try? device.function.apply(quota)) != nil { reach.note(.quotaChanged) }
        case 0xfa where mayDie: try die(&reach)
        default: try send(action, &input, &reach)
        }
    }

    /// The renderer ends by itself; the device goes on without.
    private func die(_ reach: inout Reach<VirtioGPUFuzzer.Feature>) throws {
        try renderer.die()
        try device.host.loop.dispatch(within: .zero)
        isSpent = true
        reach.note(.rendererDied)
    }

    /// A few requests at once, waited for.
    private func send(_ action: UInt8, _ input: inout Input, _ reach: inout Reach<VirtioGPUFuzzer.Feature>) throws {
        // Tables take memory that doesn't come back.
        ring.isIndirect = action & 4 != 0 && driver.allocate(0) < UInt64(Self.size - Self.room)
        var queue = 0
        var sent: [Sent] = []
        for slot in 0...Int(action & 3) {
            // Most requests are whole, and most on the right queue: all that come at once on the first one's.
            let shape = input.byte()
            let flaw = Flaw(rawValue: shape & 0x1f)
            var (command, bytes) =
                shape == Self.recorded ? recordedRequest(&input) : request(isRaw: flaw == .rawNumbers, &input)
            if slot == 0 { queue = flaw == .wrongQueue ? 1 - command.queue : command.queue }
            if flaw == .cutOff { bytes = Array(bytes.prefix(max(1, Int(input.byte())))) }
            let room = flaw == .littleRoom ? Int(input.byte()) : Self.room
            add(bytes, room, slots[slot], isInPieces: shape & 0x20 != 0, to: queues[queue])
            sent.append((command, slots[slot].response, room))
        }
        try finish(sent, on: queues[queue], &reach)
    }

    /// Notifies the device of some requests, and has it give all of them back.
    private func finish(
        _ sent: [Sent], on queue: any DriverQueue, _ reach: inout Reach<VirtioGPUFuzzer.Feature>
    ) throws {
        guard queue.wantsNotification() else { fuzzFailed("A device with nothing to do wants no notification.") }
        try driver.notify(queue)
        for _ in sent {
            guard let used = try takeUsed(queue) else { fuzzFailed("A command was not given back.") }
            guard used.count <= Self.room else { fuzzFailed("A response is longer than its room.") }
        }
        for (command, response, room) in sent where room >= 24 {
            let type = driver.load(UInt32.self, at: response)
            guard (0x1100...0x1105).contains(type) || (0x1200...0x1205).contains(type) else {
                fuzzFailed("The response to \(command) is of type \(type).")
            }
            reach.note(type < 0x1200 ? .done(command) : .refused(command))
        }
        reach.note(.answered(ring))
    }

    /// As often as somebody else's turn may be: the renderer's, or that of the device's own events.
    private static let turns = 16

    private func takeUsed(_ queue: any DriverQueue) throws -> Used? {
        for _ in 0..<Self.turns {
            if let used = queue.takeUsed() { return used }
            try renderer.carryOutAll()
            try device.host.loop.dispatch(within: .zero)
        }
        return nil
    }

    /// What is wrong with a request, whatever it says.
    private enum Flaw: UInt8 {
        case rawNumbers, wrongQueue, cutOff, littleRoom
    }

    /// One that may make sense, or numbers that need not.
    private func request(isRaw: Bool, _ input: inout Input) -> (command: GPUCommand, bytes: [UInt8]) {
        guard isRaw else {
            var requests = RandomGPURequests(input, memory: pixels)
            defer { input = requests.source }
            let (command, bytes) = requests.next()
            return (command, Array(bytes.prefix(Self.room)))
        }
        let command = GPUCommand.allCases[Int(input.byte()) % GPUCommand.allCases.count]
        let numbers = (0..<Int(input.byte() & 0x1f)).flatMap { _ in wire(UInt32(input.byte())) }
        return (command, command.header(context: UInt32(input.byte() & 3)) + numbers)
    }

    /// The shape of a request that stands in the input as a real driver has sent it.
    static let recorded: UInt8 = 0x1f

    private func recordedRequest(_ input: inout Input) -> (command: GPUCommand, bytes: [UInt8]) {
        let command = GPUCommand.allCases[Int(input.byte()) % GPUCommand.allCases.count]
        let fence = input.byte()
        let header = command.header(fence: fence == 0 ? nil : UInt64(fence))
        return (command, header + input.take(Int(input.byte())))
    }

    private func add(
        _ bytes: [UInt8], _ room: Int, _ slot: (request: UInt64, response: UInt64), isInPieces: Bool,
        to queue: any DriverQueue
    ) {
        driver.store(bytes, at: slot.request)
        driver.store(wire(UInt32(0)), at: slot.response)
        let first = isInPieces ? min(bytes.count, 10) : bytes.count
        var buffers = [Buffer.readable(slot.request, first)]
        if first < bytes.count { buffers.append(.readable(slot.request + UInt64(first), bytes.count - first)) }
        if room > 0 { buffers.append(.writable(slot.response, room)) }
        queue.add(buffers.filter { $0.count > 0 }, isIndirect: ring.isIndirect)
    }
}
