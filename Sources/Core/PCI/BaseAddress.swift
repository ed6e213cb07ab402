/// The base address registers and the expansion ROM's.
/// PCI Local Bus Specification 3.0, sections 6.2.5.1 and 6.2.5.2.
///
/// Sizing needs no code: the address bits below the size are not writable, so all ones come back as the mask
/// that software looks for.
enum BaseAddress {
    static let romSizes: ClosedRange<UInt64> = 2048...(16 << 20)

    static func sizes(_ space: BARLayout.Space) -> ClosedRange<UInt64> {
        switch space {
        case .io: 4...256
        case .memory32: 16...(1 << 31)
        case .memory64: 16...(1 << 63)
        }
    }

    static func check(_ bars: [BARLayout]) throws(ConfigurationError) {
        var taken: Set<Int> = []
        for bar in bars {
            guard (0..<6).contains(bar.index) else { throw .barIndex(bar.index) }
            guard taken.insert(bar.index).inserted else { throw .barOverlap(index: bar.index) }
            let allowed = sizes(bar.space)
            guard bar.size.nonzeroBitCount == 1, allowed.contains(bar.size) else {
                throw .barSize(index: bar.index, size: bar.size, allowed: allowed)
            }
            switch bar.space {
            case .io where bar.prefetchable: throw .ioBARPrefetchable(index: bar.index)
            case .memory64:
                guard bar.index < 5 else { throw .barWithoutUpperHalf(index: bar.index) }
                guard taken.insert(bar.index + 1).inserted else { throw .barOverlap(index: bar.index + 1) }
            default: break
            }
        }
    }

    static func check(romSize: UInt64) throws(ConfigurationError) {
        guard romSize == 0 || romSize.nonzeroBitCount == 1 && romSizes.contains(romSize) else {
            throw .romSize(romSize, allowed: romSizes)
        }
    }

    /// All six, those that no BAR uses as read-only zeros.
    static func registers(_ bars: [BARLayout]) -> [ConfigurationSpace.Register] {
        var resets = [UInt32](repeating: 0, count: 6)
        var masks = resets
        for bar in bars {
            let mask = bar.addressMask
            masks[bar.index] = UInt32(truncatingIfNeeded: mask)
            resets[bar.index] = bar.flags
            if bar.space == .memory64 { masks[bar.index + 1] = UInt32(truncatingIfNeeded: mask >> 32) }
        }
        return (0..<6).map { index in
            .init(
                "Base Address \(index)", at: Header.baseAddress + 4 * index, .dword, reset: resets[index],
                writable: masks[index], changes: .bars)
        }
    }

    static func romRegister(size: UInt64) -> ConfigurationSpace.Register {
        let mask = size == 0 ? 0 : UInt32(truncatingIfNeeded: ~(size - 1)) | romEnable
        return .init("Expansion ROM Base Address", at: Header.expansionROM, .dword, writable: mask, changes: .bars)
    }

    static let romEnable: UInt32 = 1
}

extension BARLayout {
    /// The bits of the register that hold the address; the upper register's in the upper half.
    var addressMask: UInt64 {
        let mask = ~(size &- 1)
        return space == .memory64 ? mask : mask & 0xffff_ffff
    }

    /// The register's low, read-only bits: space, type and prefetchable.
    var flags: UInt32 {
        let prefetch: UInt32 = prefetchable ? 0b1000 : 0
        return switch space {
        case .io: 0b0001
        case .memory32: 0b0000 | prefetch
        case .memory64: 0b0100 | prefetch
        }
    }
}
