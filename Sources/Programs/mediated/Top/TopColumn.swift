/// A column of `mediated top`, by which rows can be sorted.
enum TopColumn: String, CaseIterable {
    case vgpu = "VGPU"
    case type = "TYPE"
    case state = "STATE"
    case accesses = "ACCESS/s"
    case ringAccesses = "RING/s"
    case dma = "DMA MB/s"
    case interrupts = "IRQ/s"
    case frames = "FRAME/s"
    case videoMemory = "VRAM"
    case processor = "CPU %"
    case resident = "RSS"

    var title: String { rawValue }

    /// The key that sorts by it.
    var key: Character {
        switch self {
        case .vgpu: "n"
        case .type: "t"
        case .state: "s"
        case .accesses: "a"
        case .ringAccesses: "r"
        case .dma: "d"
        case .interrupts: "i"
        case .frames: "f"
        case .videoMemory: "v"
        case .processor: "c"
        case .resident: "m"
        }
    }

    /// What stands in a row.
    func cell(_ row: TopRow) -> Cell {
        switch self {
        case .vgpu: .text(row.vgpu.excerpt)
        case .type: .text(row.type.map(\.excerpt) ?? "-")
        case .state: .text(row.state.rawValue)
        case .accesses: .number(row.accesses, .count)
        case .ringAccesses: .number(row.ringAccesses, .count)
        case .dma: .number(row.dma.map { $0 / 1e6 }, .count)
        case .interrupts: .number(row.interrupts, .count)
        case .frames: .number(row.frames, .count)
        case .videoMemory: .number(row.videoMemory.map { Double($0) }, .bytes)
        case .processor: .number(row.processor, .count)
        case .resident: .number(row.resident.map { Double($0) }, .bytes)
        }
    }

    enum Cell {
        case text(String)
        case number(Double?, ShortNumber.Unit)

        var text: String {
            switch self {
            case .text(let text): text
            case .number(let value, let unit): value.map { ShortNumber($0, unit).description } ?? "-"
            }
        }

        /// Texts by the alphabet; the greatest number first, and last what isn't known.
        func isBefore(_ other: Cell) -> Bool {
            switch (self, other) {
            case (.number(let a, _), .number(let b, _)): (a ?? -1) > (b ?? -1)
            default: text < other.text
            }
        }
    }
}

/// A number from 0 in at most five characters, with a unit behind a large one.
struct ShortNumber: CustomStringConvertible {
    enum Unit {
        /// Powers of 1000.
        case count
        /// Powers of 1024.
        case bytes
    }

    let description: String

    init(_ number: Double, _ unit: Unit) {
        let (base, letters) = unit == .count ? (1000.0, Array("kMGTPE")) : (1024.0, Array("KMGTPE"))
        var rest = number
        var power = 0
        while rest >= 999.5, power < letters.count {
            rest /= base
            power += 1
        }
        guard rest >= 0, rest < 999.5 else {
            description = "huge"
            return
        }
        let tenths = Int((rest * 10).rounded())
        let isShort = tenths < 100 && !tenths.isMultiple(of: 10)
        let digits = isShort ? "\(tenths / 10).\(tenths % 10)" : "\(Int(rest.rounded()))"
        description = digits + (power == 0 ? "" : String(letters[power - 1]))
    }
}
