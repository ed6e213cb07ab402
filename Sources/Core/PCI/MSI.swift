/// A message-signalled interrupt: a write of `data` to `address`, which the interrupt controller takes.
public struct MSIMessage: Equatable, Sendable {
    public var address: UInt64
    public var data: UInt32

    public init(address: UInt64, data: UInt32) {
        self.address = address
        self.data = data
    }
}

/// What the guest has set up in the MSI capability. PCI Local Bus Specification 3.0, section 6.8.1.
public struct MSI: Equatable, Sendable {
    public let enabled: Bool
    /// How many vectors the guest has allocated: a power of two from 1 to as many as the function has.
    public let vectors: Int
    public let address: UInt64
    /// The data of vector 0.
    public let data: UInt16
    /// Bit n holds vector n back. Zero without per-vector masking.
    public let mask: UInt32
    /// As set by ``ConfigurationSpace/setMSIPending(_:)``.
    public let pending: UInt32

    /// The message of `vector`: its number takes the place of the data's low bits.
    ///
    /// - Returns: nil for a vector that the guest hasn't allocated.
    public func message(for vector: Int) -> MSIMessage? {
        guard vector >= 0, vector < vectors else { return nil }
        let low = UInt32(vectors - 1)
        return MSIMessage(address: address, data: UInt32(data) & ~low | UInt32(vector))
    }
}

extension MSI {
    static let id: UInt8 = 0x05

    /// From the capability's start, in its 64-bit form.
    static let controlOffset = 0x02
    static let addressOffset = 0x04
    static let dataOffset = 0x0c
    static let maskOffset = 0x10
    static let pendingOffset = 0x14

    static let enable: UInt16 = 1 << 0
    static let multipleMessageEnableShift = 4
    static let perVectorMaskingCapable: UInt16 = 1 << 8

    static func length(perVectorMasking: Bool) -> Int { perVectorMasking ? 24 : 14 }

    static func registers(
        at base: Int, vectors: Int, perVectorMasking: Bool
    ) throws(ConfigurationError) -> [ConfigurationSpace.Register] {
        guard (1...32).contains(vectors), vectors.nonzeroBitCount == 1 else { throw .msiVectors(vectors) }
        // The number of vectors is written as its logarithm, both what there is and what is allocated. To allocate
        // more than there is has no defined meaning; here it has no effect.
        let capable = UInt32(vectors.trailingZeroBitCount)
        let capabilities = capable << 1 | 1 << 7 | (perVectorMasking ? UInt32(perVectorMaskingCapable) : 0)
        let multipleMessageEnable: UInt32 = 0b111 << UInt32(multipleMessageEnableShift)
        var registers: [ConfigurationSpace.Register] = [
            .init(
                "MSI Message Control", at: base + controlOffset, .word, reset: capabilities,
                writable: UInt32(enable) | multipleMessageEnable,
                choice: .init(
                    mask: multipleMessageEnable,
                    values: (0...capable).map { $0 << UInt32(multipleMessageEnableShift) }),
                changes: .msi),
            .init(
                "MSI Message Address", at: base + addressOffset, .dword, writable: 0xffff_fffc, changes: .msi),
            .init(
                "MSI Message Upper Address", at: base + addressOffset + 4, .dword, writable: 0xffff_ffff,
                changes: .msi),
            .init("MSI Message Data", at: base + dataOffset, .word, writable: 0xffff, changes: .msi),
        ]
        if perVectorMasking {
            let all = vectorBits(vectors)
            registers += [
                .init("MSI Mask Bits", at: base + maskOffset, .dword, writable: all, changes: .msi),
                .init("MSI Pending Bits", at: base + pendingOffset, .dword, driven: all),
            ]
        }
        return registers
    }

    /// One bit for each of `vectors`, 1 to 32.
    static func vectorBits(_ vectors: Int) -> UInt32 { UInt32.max >> UInt32(32 - vectors) }
}

extension ConfigurationSpace {
    /// The state of the MSI capability; nil when there is none.
    public var msi: MSI? {
        guard let base = msiCapability else { return nil }
        let control = load(base + MSI.controlOffset, as: UInt16.self)
        let hasMask = control & MSI.perVectorMaskingCapable != 0
        return MSI(
            enabled: control & MSI.enable != 0,
            vectors: 1 << Int(control >> UInt16(MSI.multipleMessageEnableShift) & 0b111),
            address: load(base + MSI.addressOffset, as: UInt64.self),
            data: load(base + MSI.dataOffset, as: UInt16.self),
            mask: hasMask ? load(base + MSI.maskOffset, as: UInt32.self) : 0,
            pending: hasMask ? load(base + MSI.pendingOffset, as: UInt32.self) : 0)
    }

    /// Shows the guest which vectors wait behind their mask: bit n is vector n. Ignored for vectors that the function
    /// doesn't have, and without per-vector masking.
    public mutating func setMSIPending(_ bits: UInt32) {
        guard let base = msiCapability else { return }
        let control = load(base + MSI.controlOffset, as: UInt16.self)
        guard control & MSI.perVectorMaskingCapable != 0 else { return }
        let capable = 1 << Int(control >> 1 & 0b111)
        drive(base + MSI.pendingOffset, mask: MSI.vectorBits(capable), to: bits)
    }
}
