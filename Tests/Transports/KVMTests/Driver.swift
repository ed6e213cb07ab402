import FakeGuest
import KVM
import Lab
import Linux
import PCI
import Synchronization
import VFIO
import VFIOUserClient

/// What a driver of the exerciser does, wherever it runs: accesses to registers and memory, and waiting for a message.
protocol Driver {
    /// - Parameter width: 1, 2 or 4 bytes.
    func read(bar: Int, at offset: UInt64, width: Int) throws -> UInt32
    func write(_ value: UInt32, bar: Int, at offset: UInt64, width: Int) throws
    /// A register of configuration space, 32 bits.
    func readConfiguration(at offset: UInt64) throws -> UInt32
    func writeConfiguration(_ value: UInt32, at offset: UInt64) throws
    /// Waits until vector 3 has been signalled since last asked.
    ///
    /// - Returns: false when it wasn't in time.
    func awaitMessage() throws -> Bool
    /// Bytes of what DMA reaches, which is less than 256 MiB from address 0 on.
    func memory(at address: Int, count: Int) throws -> [UInt8]
}

extension Driver {
    /// Where a capability is in configuration space.
    ///
    /// - Parameter id: PCI's number of it, `PCI_CAP_ID_…` in Linux's pci_regs.h.
    func capability(_ id: UInt32) throws -> UInt64 {
        var place = UInt64(try readConfiguration(at: 0x34) & 0xfc)
        // As many as there is room for, 4 bytes each behind the header: a list that is longer leads in a circle.
        for _ in 0..<48 where place != 0 {
            let header = try readConfiguration(at: place)
            if header & 0xff == id { return place }
            place = UInt64(header >> 8 & 0xfc)
        }
        throw GuestError("The function has no capability \(id).")
    }
}

/// The driver as a vfio-user client, with no hypervisor: mapped memory is mapped, doorbells are eventfds.
final class ClientDriver: Driver {
    private let memory: MemoryFile
    private let device: ServedDevice
    private let client: Client
    private let buffer: Mapping
    private let doorbells: [Client.Doorbell]
    private let message = try? EventFD()

    init(hasRing: Bool) throws {
        device = try ServedDevice("exerciser")
        memory = try MemoryFile(name: "driver", size: Guests.memorySize)
        var configuration = Client.Configuration()
        if !hasRing { configuration.capabilities.accessRing = nil }
        client = try Client(path: device.path, configuration: configuration)
        try client.setBusMaster(true)
        try client.map(address: 0, size: UInt64(memory.size), file: memory.descriptor)
        buffer = try client.region(2).map(at: 4096, size: 64 << 10)
        doorbells = try client.doorbells(ofRegion: 0)
    }

    func read(bar: Int, at offset: UInt64, width: Int) throws -> UInt32 {
        if bar == 2, offset >= 4096 {
            var value: UInt32 = 0
            try GuardedCopy.copy(to: &value, from: buffer.base + Int(offset) - 4096, count: width)
            return value
        }
        return switch width {
        case 1: UInt32(try client.read(UInt8.self, region: bar, offset: offset))
        case 2: UInt32(try client.read(UInt16.self, region: bar, offset: offset))
        default: try client.read(UInt32.self, region: bar, offset: offset)
        }
    }

    func write(_ value: UInt32, bar: Int, at offset: UInt64, width: Int) throws {
        if let bell = doorbells.first(where: { bar == 0 && $0.entry.offset == offset && $0.entry.size == UInt64(width) }
        ) {
            bell.eventFD.signal()
        } else if bar == 2, offset >= 4096 {
            var value = value
            try GuardedCopy.copy(to: buffer.base + Int(offset) - 4096, from: &value, count: width)
        } else {
            switch width {
            case 1: try client.write(UInt8(truncatingIfNeeded: value), region: bar, offset: offset)
            case 2: try client.write(UInt16(truncatingIfNeeded: value), region: bar, offset: offset)
            default: try client.write(value, region: bar, offset: offset)
            }
        }
    }

    func readConfiguration(at offset: UInt64) throws -> UInt32 {
        try client.read(UInt32.self, region: RegionIndex.configuration, offset: offset)
    }

    func writeConfiguration(_ value: UInt32, at offset: UInt64) throws {
        try client.write(value, region: RegionIndex.configuration, offset: offset)
        // What a hypervisor does when the guest switches MSI-X on.
        if value & 0x8000_00ff == 0x8000_0011, let message {
            try client.setEventFDs([message], kind: .msix, start: 3)
        }
    }

    func awaitMessage() throws -> Bool {
        (message?.wait(within: Guests.patience) ?? 0) > 0
    }

    func memory(at address: Int, count: Int) -> [UInt8] {
        memory.contents(at: address, count: count)
    }
}

/// The driver as a program in a KVM guest, which does one access after the other.
final class GuestDriver: Driver {
    private let memory: MemoryFile
    private let device: ServedDevice?
    private let machine: Machine
    private let thread: Thread
    private let done: EventFD
    private let message: EventFD

    /// The mailbox that Guests/agent.s looks into.
    private enum Mailbox {
        static let command = 0x6000
        static let segment = 0x6004
        static let offset = 0x6008
        static let value = 0x600c
    }

    /// Where Guests/guest.inc puts the BARs, as segments.
    private static let segments: [Int: UInt16] = [0: 0xd000, 2: 0xe000, 4: 0xd100]

    init(_ way: Way) throws {
        let (done, message) = (try EventFD(), try EventFD())
        let machine = try Machine(memorySize: Guests.memorySize) { byte in
            _ = byte == UInt8(ascii: "i") ? message.signal() : done.signal()
        }
        device = try machine.attachExerciser(way)
        try machine.load(Guests.image("agent"))
        memory = machine.memory
        thread = try Thread(name: "machine") { _ = try? machine.run() }
        (self.machine, self.done, self.message) = (machine, done, message)
        guard done.wait(within: Guests.patience) > 0 else { throw Errno.timedOut }
    }

    deinit {
        machine.stop()
        thread.join()
    }

    private func order(_ command: Character, segment: UInt16 = 0, _ offset: UInt64, _ value: UInt32 = 0) throws
        -> UInt32
    {
        memory.put(segment, at: Mailbox.segment)
        memory.put(UInt16(offset), at: Mailbox.offset)
        memory.put(value, at: Mailbox.value)
        memory.put(command.asciiValue ?? 0, at: Mailbox.command)
        guard done.wait(within: Guests.patience) > 0 else { throw Errno.timedOut }
        return machine.number(UInt32.self, at: Mailbox.value)
    }

    private static func letter(_ width: Int, _ letters: String) -> Character {
        Array(letters)[width.trailingZeroBitCount]
    }

    func read(bar: Int, at offset: UInt64, width: Int) throws -> UInt32 {
        try order(Self.letter(width, "bwl"), segment: Self.segments[bar] ?? 0, offset)
    }

    func write(_ value: UInt32, bar: Int, at offset: UInt64, width: Int) throws {
        _ = try order(Self.letter(width, "BWL"), segment: Self.segments[bar] ?? 0, offset, value)
    }

    func readConfiguration(at offset: UInt64) throws -> UInt32 {
        try order("c", offset)
    }

    func writeConfiguration(_ value: UInt32, at offset: UInt64) throws {
        _ = try order("C", offset, value)
    }

    func awaitMessage() throws -> Bool {
        message.wait(within: Guests.patience) > 0
    }

    func memory(at address: Int, count: Int) -> [UInt8] {
        memory.contents(at: address, count: count)
    }

    /// How many messages have come since last asked: what was sent before the guest's last access has come.
    func takeMessages() -> UInt64 {
        message.consume()
    }

    /// What the machine could not do.
    var troubles: [String] { machine.troubles }
}

extension MemoryFile {
    /// Stores a number, lowest byte first.
    func put<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        let bytes = (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        replace(at: offset, with: bytes.span.bytes)
    }

    func contents(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        copy(at: offset, count: count, into: &raw)
        return bytes
    }
}
