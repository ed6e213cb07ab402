import Device

/// The mode registers of the Bochs display interface, 16 bits each.
///
/// The interface can't refuse a value, so a mode that is on is always one that can be shown: whatever
/// doesn't fit is moved to the closest that does, and the driver reads back what it got. While the mode is
/// off the registers hold what was written. Bochs, `vbe_display_api.txt`.
struct DISPI: Codable, Equatable, Sendable {
    /// In register order, their index being the raw value.
    enum Register: Int, CaseIterable, Codable {
        case id, width, height, bitsPerPixel, enable, bank, virtualWidth, virtualHeight, xOffset, yOffset
        /// In units of 64 KiB.
        case videoMemory

        var access: RegisterAccess {
            switch self {
            case .virtualHeight, .videoMemory: .readOnly
            default: .readWrite
            }
        }
    }

    struct Enable: OptionSet, Codable, Sendable {
        let rawValue: UInt16
        static let enabled = Enable(rawValue: 0x01)
        /// Width, height and depth read as the largest possible.
        static let getCapabilities = Enable(rawValue: 0x02)
        static let dac8Bit = Enable(rawValue: 0x20)
        static let linearFramebuffer = Enable(rawValue: 0x40)
        /// Kept but without effect: memory is never cleared.
        static let noClearMemory = Enable(rawValue: 0x80)
        static let all: Enable = [.enabled, .getCapabilities, .dac8Bit, .linearFramebuffer, .noClearMemory]
    }

    /// Versions 0 to 5 of the interface; a driver may write the one that it speaks.
    static let versions: ClosedRange<UInt16> = 0xb0c0...0xb0c5
    /// Linux's driver goes no further either.
    static let maximumWidth = 8192
    static let maximumHeight = 8192
    static let maximumBitsPerPixel: UInt16 = 32

    var id: UInt16 = 0xb0c5
    var width: UInt16 = 0
    var height: UInt16 = 0
    var bitsPerPixel: UInt16 = 0
    var enable: Enable = []
    /// Kept but without effect: there is no window at 0xa0000.
    var bank: UInt16 = 0
    var virtualWidth: UInt16 = 0
    var xOffset: UInt16 = 0
    var yOffset: UInt16 = 0

    /// 15 bits take as much room as 16.
    var bytesPerPixel: Int { (Int(bitsPerPixel) + 7) / 8 }
    /// In bytes.
    var stride: Int { Int(virtualWidth) * bytesPerPixel }
    /// Where the first pixel is, in bytes.
    var offset: Int { Int(yOffset) * stride + Int(xOffset) * bytesPerPixel }
    /// Where the picture ends, in bytes: a mode that is on needs so much memory.
    var end: Int { offset + Int(height) * stride }

    // MARK: Access

    func read(_ register: Register, videoMemory: Int) -> UInt16 {
        let capabilities = enable.contains(.getCapabilities)
        switch register {
        case .id: return id
        case .width: return capabilities ? UInt16(Self.maximumWidth) : width
        case .height: return capabilities ? UInt16(Self.maximumHeight) : height
        case .bitsPerPixel: return capabilities ? Self.maximumBitsPerPixel : bitsPerPixel
        case .enable: return enable.rawValue
        case .bank: return bank
        case .virtualWidth: return virtualWidth
        case .virtualHeight: return stride == 0 ? 0 : UInt16(clamping: videoMemory / stride)
        case .xOffset: return xOffset
        case .yOffset: return yOffset
        case .videoMemory: return UInt16(clamping: videoMemory >> 16)
        }
    }

    mutating func write(_ register: Register, _ write: RegisterWrite, videoMemory: Int) {
        switch register {
        case .id:
            let version = write.merged(into: id)
            if Self.versions.contains(version) { id = version }
        case .width: width = write.merged(into: width)
        case .height: height = write.merged(into: height)
        case .bitsPerPixel: bitsPerPixel = write.merged(into: bitsPerPixel)
        case .enable: setEnable(Enable(rawValue: write.merged(into: enable.rawValue)).intersection(.all))
        case .bank: bank = UInt16(truncatingIfNeeded: Int(write.merged(into: bank)) % (videoMemory >> 16))
        case .virtualWidth: virtualWidth = write.merged(into: virtualWidth)
        case .xOffset: xOffset = write.merged(into: xOffset)
        case .yOffset: yOffset = write.merged(into: yOffset)
        case .virtualHeight, .videoMemory: break
        }
        if enable.contains(.enabled) { fit(videoMemory) }
    }

    private mutating func setEnable(_ new: Enable) {
        if new.contains(.enabled), !enable.contains(.enabled) {
            // A mode begins without panning.
            virtualWidth = 0
            xOffset = 0
            yOffset = 0
        }
        enable = new
    }

    // MARK: Fitting

    /// Moves every register to the closest value with which the mode can be shown.
    mutating func fit(_ videoMemory: Int) {
        if ![8, 15, 16, 24, 32].contains(bitsPerPixel) { bitsPerPixel = 8 }
        width = min(max(width, 1), UInt16(Self.maximumWidth))
        virtualWidth = min(max(virtualWidth, width), UInt16(Self.maximumWidth))
        // The least memory holds 32 of the longest lines, so that this is never 0.
        let lines = videoMemory / stride
        height = UInt16(min(max(Int(height), 1), Self.maximumHeight, lines))
        // Panning moves the whole picture, its last line included, inside the memory.
        let room = videoMemory - Int(height) * stride
        xOffset = UInt16(clamping: min(Int(xOffset), room / bytesPerPixel))
        yOffset = UInt16(clamping: min(Int(yOffset), (room - Int(xOffset) * bytesPerPixel) / stride))
    }
}
