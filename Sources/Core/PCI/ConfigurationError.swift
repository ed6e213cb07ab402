/// A function that can't be: its declaration, or a saved state, contradicts itself or the specification.
public enum ConfigurationError: Error, Equatable, Sendable {
    /// Which of MSI-X's two structures in a BAR is meant.
    public enum MSIXStructure: String, Sendable {
        case table
        case pendingBits = "pending-bit array"
    }

    case barIndex(Int)
    /// A BAR is declared twice, or stands where a 64-bit BAR has its upper half.
    case barOverlap(index: Int)
    /// A 64-bit BAR in the last register.
    case barWithoutUpperHalf(index: Int)
    case barSize(index: Int, size: UInt64, allowed: ClosedRange<UInt64>)
    case ioBARPrefetchable(index: Int)
    case romSize(UInt64, allowed: ClosedRange<UInt64>)

    case capabilityTwice(String)
    case capabilitiesTooLong(bytes: Int, available: Int)
    /// A register of a window isn't inside its capability, behind the length.
    case window(place: Int, capability: Int)
    case msiVectors(Int)
    case msixVectors(Int)
    case msixBAR(MSIXStructure, bar: Int)
    case msixAlignment(MSIXStructure, offset: UInt32)
    case msixOutsideBAR(MSIXStructure, bar: Int, offset: UInt32, size: UInt64, barSize: UInt64)
    case msixOverlap(bar: Int)

    /// The registers of the state aren't those of the function.
    case stateRegisters
    /// Bits are set that the register can't have.
    case stateBits(register: String, value: UInt32, allowed: UInt32)
    /// A field holds a value that it doesn't take.
    case stateField(register: String, value: UInt32, allowed: [UInt32])
    case stateVectors(Int, expected: Int)
    case stateAddress(UInt64, vector: Int)
}

extension ConfigurationError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .barIndex(let index):
            "BAR \(index) doesn't exist: a function has BARs 0 to 5."
        case .barOverlap(let index):
            "BAR \(index) is declared twice, or is the upper half of a 64-bit BAR."
        case .barWithoutUpperHalf(let index):
            "BAR \(index) can't be 64 bits wide: no register follows it for the upper half."
        case .barSize(let index, let size, let allowed):
            "BAR \(index) has \(size) bytes; it must have a power of two \(Self.range(allowed))."
        case .ioBARPrefetchable(let index):
            "BAR \(index) is in I/O space, which is never prefetchable."
        case .romSize(let size, let allowed):
            "The expansion ROM has \(size) bytes; it must have a power of two \(Self.range(allowed)), or 0 for none."
        case .capabilityTwice(let name):
            "The \(name) capability is declared twice."
        case .capabilitiesTooLong(let bytes, let available):
            "The capabilities take \(bytes) bytes, and there is room for \(available)."
        case .window(let place, let capability):
            "A window has a register at \(place) of its capability, which has \(capability) bytes."
        case .msiVectors(let vectors):
            "MSI has \(vectors) vectors; it must have 1, 2, 4, 8, 16 or 32."
        case .msixVectors(let vectors):
            "MSI-X has \(vectors) vectors; it must have 1 to \(MSIX.maximumVectors)."
        case .msixBAR(let structure, let bar):
            "The MSI-X \(structure.rawValue) is in BAR \(bar), which is not a declared memory BAR."
        case .msixAlignment(let structure, let offset):
            "The MSI-X \(structure.rawValue) is at offset \(offset), which is not a multiple of 8."
        case .msixOutsideBAR(let structure, let bar, let offset, let size, let barSize):
            "The MSI-X \(structure.rawValue) has \(size) bytes at offset \(offset) of BAR \(bar), which has \(barSize)."
        case .msixOverlap(let bar):
            "The MSI-X table and pending-bit array overlap in BAR \(bar)."
        case .stateRegisters:
            "The state was saved from a function with other registers."
        case .stateBits(let register, let value, let allowed):
            "In the state \(register) is \(Self.hex(value)), but only the bits \(Self.hex(allowed)) can change."
        case .stateField(let register, let value, let allowed):
            "In the state \(register) has a field \(Self.hex(value)), which must be one of "
                + allowed.map(Self.hex).joined(separator: ", ") + "."
        case .stateVectors(let count, let expected):
            "The state has \(count) MSI-X vectors instead of \(expected)."
        case .stateAddress(let address, let vector):
            "In the state MSI-X vector \(vector) has the address \(Self.hex(address)), which is not a multiple of 4."
        }
    }

    private static func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
    private static func range(_ allowed: ClosedRange<UInt64>) -> String {
        "from \(allowed.lowerBound) to \(allowed.upperBound)"
    }
}
