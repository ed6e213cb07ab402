import GuestMemory
import Linux

/// Look-ups in a guest memory of many maps.
struct LookUps {
    /// In bytes; the maps have gaps between them, so that no two can be taken for one.
    private static let mapSize: UInt64 = 4096
    private let memory: AddressSpace
    /// Where to look, in random order.
    private let addresses: [UInt64]

    /// All maps show the same page: it is the look-up that is measured, not how far the data is.
    init(maps: Int) throws {
        memory = AddressSpace()
        let file = try MemoryFile(name: "bench", size: Int(Self.mapSize))
        var generator = SystemRandomNumberGenerator()
        for number in 0..<UInt64(maps) {
            try memory.map(
                address: number * 2 * Self.mapSize, size: Self.mapSize, access: [.read, .write],
                backing: .file(file.descriptor.duplicate(), offset: 0))
        }
        addresses = (0..<1 << 18).map { _ in
            UInt64.random(in: 0..<UInt64(maps), using: &generator) * 2 * Self.mapSize
                + UInt64.random(in: 0..<Self.mapSize / 4, using: &generator) * 4
        }
    }

    /// Nanoseconds for one load at a random address.
    func measure() throws -> Double {
        var sum: UInt32 = 0
        let time = try ContinuousClock().measure {
            for address in addresses { sum &+= try memory.load(UInt32.self, at: address) }
        }
        // The sum is 0, which the compiler can't know.
        let nanoseconds = Double(time.components.attoseconds) / 1e9 + Double(time.components.seconds) * 1e9
        return (nanoseconds + Double(sum)) / Double(addresses.count)
    }

    /// Many maps against few, in turn.
    static func compare(rounds: Int = 30) throws -> Result {
        let few = try LookUps(maps: 16)
        let many = try LookUps(maps: 65_535)
        var values: [Double] = []
        var floors: [Double] = []
        for _ in 0..<rounds {
            floors.append(try few.measure())
            values.append(try many.measure())
        }
        return Result(
            name: "4-byte load, random among 65,535 maps; floor: among 16", unit: "ns", value: median(values),
            floor: median(floors), ratio: median(zip(values, floors).map { $0 / $1 }), aim: 2)
    }
}
