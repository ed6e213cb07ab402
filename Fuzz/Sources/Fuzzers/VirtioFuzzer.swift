import Device
import EchoDevice
import FakeDriver
import FakeGuest
import FuzzSupport
import Virtio

/// A driver that sets its queues up as it should, and then writes into the rings what the input says.
final class VirtioFuzzer: FuzzTarget {
    private let device: FuzzedFunction
    private let echo: VirtioFunction<EchoDevice>?
    private let driver: VirtioDriver
    /// Where MSI-X is enabled, in configuration space.
    private let messageControl: Int?
    private var queues: [any DriverQueue] = []
    private var shape = ""
    private(set) var reach: Reach<String>

    private static let shapes = ["split, flags", "packed, flags", "split, event index", "packed, event index"]
    private static let failures = [
        "memory", "queueSize", "misaligned", "availableIndex", "descriptorIndex", "descriptorNotAvailable",
        "chainTooLong",
        "readableAfterWritable", "indirectNotNegotiated", "indirectChained", "indirectNested", "indirectLength",
        "alreadyInFlight", "tooManyInFlight", "device",
    ]
    private static let events = [
        "chain kept and completed", "queue reset", "saved and restored", "message sent", "message held back",
        "pin asserted", "taken up again by the loop",
    ]

    init() throws {
        typealias Echo = VirtioFunction<EchoDevice>
        // Small, so that random addresses meet the rings.
        device = try FuzzedFunction(ramSize: 1 << 14) { try Echo(options: DeviceOptions(for: Echo.type), host: $0) }
        echo = device.function.device as? Echo
        driver = try VirtioDriver(device.function, ram: device.ram)
        let registers = device.function.configuration.registers
        messageControl = registers.first { $0.name == "MSI-X Message Control" }?.offset
        reach = Reach(
            Self.shapes.map { "answered: \($0)" } + Self.shapes.map { "indirect: \($0)" }
                + Self.failures.map { "failure: \($0)" } + Self.events)
    }

    func run(_ input: inout Input) throws {
        try device.begin(input)
        queues = []
        let interrupts = device.interrupts
        let (sent, heldBack, assertions) = (interrupts.sent, interrupts.heldBack, interrupts.assertions)
        // Most do.
        try start(input.byte())
        while !input.isEmpty {
            let hadFailed = echo?.failure != nil
            try step(&input)
            if !hadFailed, let failure = echo?.failure { note(failure) }
        }
        if interrupts.sent != sent { reach.note("message sent") }
        if interrupts.heldBack != heldBack { reach.note("message held back") }
        if interrupts.assertions != assertions { reach.note("pin asserted") }
    }

    private func note(_ failure: VirtioFailure) {
        // So many bytes don't fit into memory this small.
        if case .chainTooLarge = failure { return }
        reach.note("failure: \(failure.name)")
    }

    private func step(_ input: inout Input) throws {
        let action = input.byte()
        let value = input.byte()
        switch action & 15 {
        case 0: try start(value)
        case 1: if let queue = queue(value) { try describe(queue, action, value, &input) }
        case 2, 3:
            // Anywhere, a few bytes.
            let address = input.number(bytes: 2) % UInt64(device.ram.file.size - 16)
            driver.store(input.take(Int(value & 0xf)), at: address)
        case 4, 5, 6, 7:
            guard let queue = queue(value) else { return }
            // Mostly they make sense.
            let buffers = (0...Int(value >> 2 & 3)).map { place in
                Buffer(
                    address: input.number(bytes: 2) & 0x3fff, count: UInt32(input.byte()),
                    isWritable: action & 0x10 == 0 ? place > 0 : input.byte() & 1 != 0)
            }
            try add(buffers, isIndirect: action & 0x20 != 0, to: queue, notifies: action & 0xc0 != 0)
        case 8, 9: if let queue = queue(value) { try notify(queue) }
        case 10: try driver.setDeviceConfiguration(UInt64(value & 7) % 6, .byte, UInt64(value >> 3 & 7))
        case 11:
            let calls = echo?.driver.calls
            try device.host.loop.dispatch(within: .zero)
            if echo?.driver.calls != calls { reach.note("taken up again by the loop") }
        case 12: if device.saveAndRestore() { reach.note("saved and restored") }
        case 13:
            try driver.set(.queueSelect, UInt64(value & 3))
            try driver.set(.queueReset, 1)
            reach.note("queue reset")
        case 14: try complete(value)
        default: try configure(value, &input)
        }
    }

    private func start(_ value: UInt8) throws {
        var features: VirtioDriver.Feature = [.version1, .ringReset]
        if value & 1 != 0 { features.insert(.packed) }
        if value & 2 != 0 { features.insert(.eventIndex) }
        if value & 0x38 != 0 { features.insert(.indirect) }
        guard try driver.negotiate(features) else { fuzzFailed("The device refused what it offers.") }
        shape = Self.shapes[Int(value & 3)]
        driver.freeAll()
        queues = try [
            driver.queue(0, size: value & 4 != 0 ? 4 : 16, vector: 0), driver.queue(1, size: 8, vector: 1),
        ]
        if value & 0x40 != 0, let control = messageControl { try driver.setConfiguration(control, .word, 0x8000) }
        try driver.setDriverOK()
    }

    private func queue(_ value: UInt8) -> (any DriverQueue)? {
        queues.isEmpty ? nil : queues[Int(value & 1)]
    }

    private func add(_ buffers: [Buffer], isIndirect: Bool, to queue: any DriverQueue, notifies: Bool) throws {
        // Tables take memory that doesn't come back.
        let isIndirect = isIndirect && driver.allocate(0) < 0x3000
        queue.add(buffers, isIndirect: isIndirect)
        guard notifies else { return }
        try notify(queue)
        guard queue.takeUsed() != nil else { return }
        reach.note(isIndirect ? "indirect: \(shape)" : "answered: \(shape)")
    }

    /// A descriptor that may be wrong in any way, made available.
    private func describe(_ queue: any DriverQueue, _ action: UInt8, _ value: UInt8, _ input: inout Input) throws {
        // The ring itself may be a table, of descriptors as they are there.
        let address = value & 2 == 0 ? input.number(bytes: 2) & 0x3fff : queue.descriptors
        let count = value & 4 == 0 ? UInt32(input.byte()) : UInt32(16 * queue.size)
        // NEXT, WRITE, INDIRECT
        let flags = UInt16(value >> 3 & 7)
        let place = input.byte() & 0x1f
        if let split = queue as? SplitDriverQueue {
            split.setDescriptor(
                Int(place) % split.size, address: address, count: count, flags: flags, next: UInt16(value >> 6))
            if value & 0xc0 == 0xc0 { split.setAvailable(UInt16(place) << 4) } else { split.addHead(UInt16(place)) }
        } else if let packed = queue as? PackedDriverQueue {
            packed.addDescriptors([(address, count, UInt16(place & 7), flags)])
        }
        if action & 0xc0 != 0 { try notify(queue) }
    }

    private func notify(_ queue: any DriverQueue) throws {
        _ = queue.wantsNotification()
        try driver.notify(queue)
    }

    /// Has a chain come back that the device keeps.
    private func complete(_ value: UInt8) throws {
        guard let id = echo?.driver.keptIDs.first(where: { $0 <= 0xff }) else { return }
        try driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(id))
        if value & 0x80 == 0, echo?.driver.keptIDs.contains(id) == false { reach.note("chain kept and completed") }
    }

    private func configure(_ value: UInt8, _ input: inout Input) throws {
        switch value & 3 {
        case 0: device.interrupts.isOpen.toggle()
        case 1: try driver.setConfiguration(4, .word, UInt64(value >> 2 & 7))
        case 2:
            // A queue that can't be.
            try driver.set(.queueSelect, UInt64(value >> 7))
            try driver.set(.queueReset, 1)
            try driver.set(.queueSize, input.pick([4, 8, 3, 0, 0xffff]))
            try driver.set(.queueDescriptors, UInt64(input.byte()))
            try driver.set(.queueEnable, 1)
        default: queue(value >> 2)?.wantInterrupt(after: Int(input.byte() & 7))
        }
    }
}

extension VirtioFailure {
    /// The case, without its numbers.
    fileprivate var name: String {
        switch self {
        case .memory: "memory"
        case .queueSize: "queueSize"
        case .misaligned: "misaligned"
        case .availableIndex: "availableIndex"
        case .descriptorIndex: "descriptorIndex"
        case .descriptorNotAvailable: "descriptorNotAvailable"
        case .chainTooLong: "chainTooLong"
        case .chainTooLarge: "chainTooLarge"
        case .readableAfterWritable: "readableAfterWritable"
        case .indirectNotNegotiated: "indirectNotNegotiated"
        case .indirectChained: "indirectChained"
        case .indirectNested: "indirectNested"
        case .indirectLength: "indirectLength"
        case .alreadyInFlight: "alreadyInFlight"
        case .tooManyInFlight: "tooManyInFlight"
        case .device: "device"
        }
    }
}
