import Device
import DeviceCatalog
import FakeDriver
import FakeGuest
import FuzzSupport
import GuestMemory
import Linux

/// A virtio-gpu with everything, and a driver that keeps its rings in order and sends the commands that the input says.
final class Machine {
    private let function: Function
    private let loop: EventLoop
    private let driver: VirtioDriver
    private let renderer: ObligingRenderer
    private var queues: [any DriverQueue] = []
    private var slots: [(request: UInt64, response: UInt64)] = []
    private var pixels: Range<UInt64> = 0..<1
    private var isPacked = false
    private var hasEventIndex = false
    /// Whether the next renderer would be long in coming.
    private(set) var isSpent = false

    private static let size = 1 << 20
    /// Room for a request, and for a response.
    private static let room = 4096
    private static let slotCount = 4
    /// How long a renderer may take that only says yes, in milliseconds.
    private static let patience: Int32 = 10_000

    init() throws {
        _ = try StandIn.install()
        loop = try EventLoop()
        renderer = try ObligingRenderer()
        let host = Host(loop: loop)
        // At address 0: small numbers are addresses then.
        let ram = try GuestRAM(at: 0, size: Self.size)
        let options = [
            "heads=2", "vram=3M", "resolution=640x480", "blob=on", "renderer=virgl", "render-node=\(renderer.path)",
        ]
        function = try Function(DeviceCatalog.make("virtio-gpu", options: options, host: host), host: host)
        // Behind the device, which keeps what it can share with its renderer.
        try host.memory.map(
            address: 0, size: UInt64(Self.size), access: [.read, .write],
            backing: .file(ram.file.descriptor.duplicate(), offset: 0))
        driver = try VirtioDriver(function, ram: ram)
    }

    /// One input, from the driver's first register on.
    func run(_ input: inout Input, _ reach: inout Reach) throws {
        try start(&input, &reach)
        while !input.isEmpty { try step(&input, &reach) }
        if try driver.needsReset { fuzzFailed("The device gave up.") }
    }

    private func start(_ input: inout Input, _ reach: inout Reach) throws {
        let shape = input.byte()
        var features = try driver.offered
        isPacked = shape & 1 != 0
        hasEventIndex = shape & 2 != 0
        if !isPacked { features.remove(.packed) }
        if !hasEventIndex { features.remove(.eventIndex) }
        // Mostly with all that the device itself has.
        if shape >> 3 == 0 { features.subtract(VirtioDriver.Feature(rawValue: input.number(bytes: 1))) }
        guard try driver.negotiate(features) else { fuzzFailed("The device refused what it offers.") }
        // The administrator's, which a reset leaves.
        try function.device.apply(Quota(videoMemory: 3 << 20))
        driver.freeAll()
        queues = try [driver.queue(0, size: 16, vector: 0), driver.queue(1, size: 16, vector: 1)]
        try driver.setDriverOK()
        slots = (0..<Self.slotCount).map { _ in (driver.allocate(Self.room), driver.allocate(Self.room)) }
        let start = driver.allocate(1 << 16)
        pixels = start..<start + 1 << 16
        guard shape & 4 == 0 else { return }
        for (command, bytes) in RandomGPURequests(input, memory: pixels).scenery() {
            add(bytes, Self.room, slots[0], isInPieces: false, false, to: queues[0])
            try finish([(command, 0, Self.room)], on: queues[0], isIndirect: false, &reach)
        }
    }

    private func step(_ input: inout Input, _ reach: inout Reach) throws {
        let action = input.byte()
        switch action {
        // It takes as long as a hundred requests, and the renderer loses what it had.
        case 0xff where input.byte() & 7 == 0: saveAndRestore(function)
        case 0xfe: for framebuffer in function.device.framebuffers { _ = framebuffer.takeDamage() }
        case 0xfd: driver.store(input.take(Int(input.byte())), at: pixels.lowerBound + input.number(bytes: 2) % 0xff00)
        case 0xfc:
            let monitor = Monitor(width: Int(input.number(bytes: 2)), height: Int(input.number(bytes: 2)))
            try? function.device.connect(input.byte() & 1 == 0 ? nil : monitor, to: Int(input.byte() & 3))
        case 0xfb: try? function.device.apply(Quota(videoMemory: Int(input.number(bytes: 3))))
        // Rarely: a new machine takes a hundred times as long as an input.
        case 0xfa where input.number(bytes: 2) == 0x6b6b:
            renderer.die()
            isSpent = true
        default: try send(action, &input, &reach)
        }
    }

    /// A few requests at once, waited for.
    private func send(_ action: UInt8, _ input: inout Input, _ reach: inout Reach) throws {
        let isIndirect = action & 4 != 0
        var queue = 0
        var sent: [(command: GPUCommand, slot: Int, room: Int)] = []
        for slot in 0...Int(action & 3) {
            // Most requests are whole, and most on the right queue: all that come at once on the first one's.
            let shape = input.byte()
            let flaw = Flaw(rawValue: shape & 0x1f)
            var (command, bytes) = request(isRaw: flaw == .rawNumbers, &input)
            if slot == 0 { queue = flaw == .wrongQueue ? 1 - command.queue : command.queue }
            if flaw == .cutOff { bytes = Array(bytes.prefix(max(1, Int(input.byte())))) }
            let room = flaw == .littleRoom ? Int(input.byte()) : Self.room
            add(bytes, room, slots[slot], isInPieces: shape & 0x20 != 0, isIndirect, to: queues[queue])
            sent.append((command, slot, room))
        }
        try finish(sent, on: queues[queue], isIndirect: isIndirect, &reach)
    }

    /// Notifies the device of some requests, and waits until it has given all of them back.
    private func finish(
        _ sent: [(command: GPUCommand, slot: Int, room: Int)], on queue: any DriverQueue, isIndirect: Bool,
        _ reach: inout Reach
    ) throws {
        guard queue.wantsNotification() else { fuzzFailed("A device with nothing to do wants no notification.") }
        try driver.notify(queue)
        let deadline = Deadline(milliseconds: Self.patience)
        for _ in sent {
            while true {
                if let used = queue.takeUsed() {
                    guard used.count <= Self.room else { fuzzFailed("A response is longer than its room.") }
                    break
                }
                guard deadline.millisecondsLeft > 0 else { fuzzFailed("A command was not given back.") }
                try loop.dispatch(milliseconds: deadline.millisecondsLeft)
            }
        }
        let ring = Reach.name(isPacked: isPacked, hasEventIndex: hasEventIndex, isIndirect: isIndirect)
        for (command, slot, room) in sent where room >= 24 {
            let type = driver.load(UInt32.self, at: slots[slot].response)
            guard (0x1100...0x1105).contains(type) || (0x1200...0x1205).contains(type) else {
                fuzzFailed("The response to \(command) is of type \(type).")
            }
            reach.note(command, ring: ring, answeredBy: type)
        }
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

    private func add(
        _ bytes: [UInt8], _ room: Int, _ slot: (request: UInt64, response: UInt64), isInPieces: Bool,
        _ isIndirect: Bool,
        to queue: any DriverQueue
    ) {
        driver.store(bytes, at: slot.request)
        driver.store(wire(UInt32(0)), at: slot.response)
        let first = isInPieces ? min(bytes.count, 10) : bytes.count
        var buffers = [Buffer.readable(slot.request, first)]
        if first < bytes.count { buffers.append(.readable(slot.request + UInt64(first), bytes.count - first)) }
        if room > 0 { buffers.append(.writable(slot.response, room)) }
        queue.add(buffers.filter { $0.count > 0 }, isIndirect: isIndirect)
    }
}
