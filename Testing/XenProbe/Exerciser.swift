import PCI

/// Where the function under test is.
enum Slot {
    static let device: UInt32 = 5
    static let address = FunctionAddress(bus: 0, device: UInt8(device))!
}

/// A driver of the exerciser's, in a domain. Exerciser.docc describes the registers.
struct Exerciser {
    let processor: Processor
    /// That of its slot.
    let device: UInt32
    /// Where its BARs are.
    var registers: UInt32 = 0xe000_0000
    var ports: UInt32 = 0xc000
    var buffer: UInt32 = 0xe010_0000
    var table: UInt32 = 0xe020_0000

    /// The buffer's bytes, behind its first page, which has registers.
    var bytes: UInt32 { buffer + 4096 }

    enum Register: UInt32 {
        case identification = 0x00
        case scratch = 0x04
        case wideScratch = 0x08
        case raise = 0x10
        case setCause = 0x14
        case cause = 0x18
        case source = 0x20
        case destination = 0x28
        case length = 0x30
        case pattern = 0x34
        case command = 0x38
        case status = 0x3c
        case faultAddress = 0x40
    }

    enum Command: UInt32 {
        case load = 1
        case store = 2
        case copy = 3
        case fill = 4
    }

    /// Gives the BARs their places and switches the function on, as firmware and a driver do.
    init(_ processor: Processor, device: UInt32 = Slot.device) throws {
        self.processor = processor
        self.device = device
        // Each device of a bus has its own places.
        let places = device - Slot.device
        registers += places << 24
        ports += places << 8
        buffer += places << 24
        table += places << 24
        for (register, value) in [(0x10, registers), (0x14, ports | 1), (0x18, buffer), (0x1c, 0), (0x20, table)] {
            try processor.writeConfiguration(UInt32(register), value, device: device)
        }
        // I/O space, memory space, bus master.
        try processor.writeConfiguration(0x04, 7, width: 2, device: device)
    }

    func read(_ register: Register, width: Int = 4) throws -> UInt64 {
        try processor.read(registers + register.rawValue, width: width)
    }

    func write(_ register: Register, _ value: UInt32) throws {
        try processor.write(registers + register.rawValue, value)
    }

    /// Has a vector sent so many times, each time when the one before has come as an interrupt.
    func raise(_ vector: UInt32, times: UInt32, awaiting interrupt: UInt32) throws -> UInt32 {
        try processor.write(registers + Register.raise.rawValue, UInt8(vector), times: times, awaiting: interrupt)
    }

    /// Has DMA done.
    ///
    /// - Returns: the status; 0 when it is done.
    func run(_ command: Command, from source: UInt64 = 0, to destination: UInt64 = 0, count: Int) throws -> UInt64 {
        for (register, address) in [(Register.source, source), (.destination, destination)] {
            try write(register, UInt32(truncatingIfNeeded: address))
            try processor.write(registers + register.rawValue + 4, UInt32(address >> 32))
        }
        try write(.length, UInt32(count))
        try write(.command, command.rawValue)
        return try read(.status)
    }

    /// Where a capability is.
    func capability(_ number: UInt32) throws -> UInt32 {
        var position = try processor.readConfiguration(0x34, width: 1)
        for _ in 0..<48 where position != 0 {
            let header = try processor.readConfiguration(position, width: 2)
            if header & 0xff == number { return position }
            position = header >> 8
        }
        throw Failed("The function has no capability \(number).")
    }
}
