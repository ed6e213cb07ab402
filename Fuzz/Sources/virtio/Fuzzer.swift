import Device
import EchoDevice
import FakeDriver
import FakeGuest
import FuzzSupport
import GuestMemory
import Linux
import Virtio

/// A driver that sets its queues up as it should, and then writes into the rings what the input says.
private struct HostileDriver {
    let function: Function
    let loop: EventLoop
    let driver: VirtioDriver
    var queues: [any DriverQueue] = []

    /// In RAM, where all rings and tables are. Small, so that random addresses meet them.
    static let size = 1 << 14

    init() throws {
        loop = try EventLoop()
        let host = Host(loop: loop)
        // At address 0: most numbers that the input has are addresses then.
        let ram = try GuestRAM(at: 0, size: Self.size)
        try host.memory.map(
            address: 0, size: UInt64(Self.size), access: [.read, .write],
            backing: .file(ram.file.descriptor.duplicate(), offset: 0))
        typealias Echo = VirtioFunction<EchoDevice>
        function = try Function(Echo(options: DeviceOptions(for: Echo.type), host: host), host: host)
        driver = try VirtioDriver(function, ram: ram)
    }

    mutating func step(_ input: inout Input) throws {
        let action = input.byte()
        let value = input.byte()
        switch action & 7 {
        case 0: try start(value)
        case 1, 2:
            // Anywhere, a few bytes.
            let address = input.number(bytes: 2) % UInt64(Self.size - 16)
            driver.store(input.take(Int(value & 0xf)), at: address)
        case 3:
            guard let queue = queue(value) else { return }
            let buffers = (0...Int(value >> 2 & 3)).map { _ in
                Buffer(
                    address: input.number(bytes: 2), count: UInt32(input.byte()), isWritable: input.byte() & 1 != 0)
            }
            // Descriptors alone: a table would take memory for ever.
            queue.add(buffers, isIndirect: false)
        case 4:
            if let queue = queue(value) { try driver.notify(queue) }
        case 5: try driver.setDeviceConfiguration(UInt64(value & 7), .byte, input.number(bytes: 1))
        case 6: try loop.dispatch(milliseconds: 0)
        default:
            if value & 1 == 0 { saveAndRestore(function) } else { try driver.set(.queueReset, 1) }
        }
    }

    private mutating func start(_ value: UInt8) throws {
        var features: VirtioDriver.Feature = [.version1, .ringReset, .indirect]
        if value & 1 != 0 { features.insert(.packed) }
        if value & 2 != 0 { features.insert(.eventIndex) }
        guard try driver.negotiate(features) else { fuzzFailed("The device refused what it offers.") }
        driver.freeAll()
        queues = try [driver.queue(0, size: value & 4 != 0 ? 4 : 16), driver.queue(1, size: 8)]
        try driver.setDriverOK()
    }

    private func queue(_ value: UInt8) -> (any DriverQueue)? {
        queues.isEmpty ? nil : queues[Int(value & 1)]
    }
}

private func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) {
    do {
        var driver = try HostileDriver()
        var input = Input(start, count)
        while !input.isEmpty { try driver.step(&input) }
    } catch {
        fuzzFailed("A driver's register access failed: \(error)")
    }
}

@main
enum Fuzzer {
    static func main() {
        runFuzzer { start, count in
            fuzz(start, count)
            return 0
        }
    }
}
