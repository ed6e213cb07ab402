/// What a monitor tells about itself, made to measure: it prefers one mode and shows every smaller one.
/// VESA Enhanced Extended Display Identification Data Standard, release A, revision 2 (EDID 1.4).
public struct EDID {
    /// One block, or two: 128 or 256 bytes.
    public let bytes: [UInt8]

    /// - Parameters:
    ///   - width: of the preferred mode in pixels, 640 to 8192.
    ///   - height: in lines, 480 to 8192.
    ///   - refresh: in frames per second, 30 to 240.
    public init(width: Int, height: Int, refresh: Int) {
        let preferred = CVTTiming(width: width, height: height, refresh: refresh)
        if Self.hasRoom(for: preferred) {
            bytes = Self.baseBlock(of: preferred, first: preferred, extensions: 0)
        } else {
            // The base block must have a timing all the same: one that any such screen can show.
            let first = CVTTiming(width: 640, height: 480, refresh: 60)
            bytes = Self.baseBlock(of: preferred, first: first, extensions: 1) + Self.displayIDBlock(preferred)
        }
    }

    /// In the way of a Plug and Play vendor ID; one that nobody holds.
    private static let manufacturer = "MVG"

    // MARK: The base block, section 3

    private static func baseBlock(of preferred: CVTTiming, first: CVTTiming, extensions: UInt8) -> [UInt8] {
        var block: [UInt8] = []
        block += [0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]
        block += packed(manufacturer)
        block += [0x01, 0x00]  // product code
        block += [0x00, 0x00, 0x00, 0x00]  // no serial number but the descriptor's
        block += [0x00, 0x24]  // no week; 1990 + 36
        block += [0x01, 0x04]  // version 1.4
        block += [0xa0]  // digital, 8 bits per colour, by no named interface
        block += [centimetres(preferred.width), centimetres(preferred.height)]
        block += [0x78]  // gamma 2.2
        block += [first == preferred ? 0x06 : 0x04]  // RGB 4:4:4, sRGB; the first timing is the native one
        block += [0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]  // sRGB's primaries and white
        block += establishedTimings(within: preferred)
        block += standardTimings(within: preferred)
        block += detailedTiming(first, of: preferred)
        block += rangeLimits(preferred)
        block += text(0xfc, "Mediated")
        block += text(0xff, "1")
        block.append(extensions)
        return block + [checksum(block)]
    }

    /// Three capital letters in five bits each, section 3.4.1.
    private static func packed(_ letters: String) -> [UInt8] {
        let code = letters.utf8.reduce(UInt16(0)) { $0 << 5 | UInt16($1 & 0x1f) }
        return bigEndian(code)
    }

    /// 640x480, 800x600 and 1024x768 at 60 Hz, section 3.8.
    private static func establishedTimings(within largest: CVTTiming) -> [UInt8] {
        var timings: [UInt8] = [0, 0, 0]
        if largest.holds(640, 480) { timings[0] |= 1 << 5 }
        if largest.holds(800, 600) { timings[0] |= 1 << 0 }
        if largest.holds(1024, 768) { timings[1] |= 1 << 3 }
        return timings
    }

    /// Up to eight more modes at 60 Hz, section 3.9: those of the VESA Monitor Timing Standard.
    private static func standardTimings(within largest: CVTTiming) -> [UInt8] {
        let modes: [(width: Int, height: Int, aspect: UInt8)] = [
            (1920, 1200, 0), (1920, 1080, 3), (1600, 1200, 1), (1680, 1050, 0), (1600, 900, 3), (1280, 1024, 2),
            (1280, 960, 1), (1280, 720, 3),
        ]
        let fitting = modes.filter { largest.holds($0.width, $0.height) }
        let used = fitting.flatMap { [UInt8($0.width / 8 - 31), $0.aspect << 6] }
        return used + Array(repeating: 0x01, count: 16 - used.count)
    }

    /// Whether an 18-byte descriptor can hold the timing.
    private static func hasRoom(for timing: CVTTiming) -> Bool {
        timing.width < 4096 && timing.height < 4096 && timing.pixelClock <= 0xffff
    }

    /// Section 3.10.2: positive horizontal and negative vertical sync, as reduced blanking has them.
    private static func detailedTiming(_ timing: CVTTiming, of screen: CVTTiming) -> [UInt8] {
        let imageWidth = millimetres(screen.width)
        let imageHeight = millimetres(screen.height)
        var bytes = littleEndian(timing.pixelClock, 2)
        bytes += low12(timing.width, timing.horizontalBlank)
        bytes += low12(timing.height, timing.verticalBlank)
        bytes += [
            UInt8(truncatingIfNeeded: timing.horizontalFrontPorch), UInt8(truncatingIfNeeded: timing.horizontalSync),
            UInt8(truncatingIfNeeded: timing.verticalFrontPorch << 4 | timing.verticalSync), 0,
        ]
        bytes += low12(imageWidth, imageHeight)
        bytes += [0, 0, 0x1a]
        return bytes
    }

    /// Section 3.10.3.3.1: limits alone, with no formula for other timings. Generous enough for the
    /// standard timings; the dummy descriptor, section 3.10.3.11, where the fields can't hold what the
    /// largest timing needs.
    private static func rangeLimits(_ largest: CVTTiming) -> [UInt8] {
        let refresh = max(largest.refreshRoundedUp, 75)
        let kilohertz = max(largest.horizontalKilohertz, 80)
        let tensOfMegahertz = max((largest.pixelClock + 999) / 1000, 20)
        guard kilohertz <= 2 * 255, tensOfMegahertz <= 255 else {
            return [0, 0, 0, 0x10] + Array(repeating: 0, count: 14)
        }
        // The flag adds 255 to the greatest line rate.
        let flag: UInt8 = kilohertz > 255 ? 0x08 : 0
        let limits = [20, refresh, 10, kilohertz > 255 ? kilohertz - 255 : kilohertz, tensOfMegahertz]
        return [0, 0, 0, 0xfd, flag] + limits.map { UInt8(truncatingIfNeeded: $0) } + [0x01, 0x0a]
            + Array(repeating: 0x20, count: 6)
    }

    /// Section 3.10.3: at most 13 characters, ended by a line feed, filled up with spaces.
    private static func text(_ tag: UInt8, _ text: String) -> [UInt8] {
        let characters = Array((text + "\n").utf8.prefix(13))
        return [0, 0, 0, tag, 0] + characters + Array(repeating: 0x20, count: 13 - characters.count)
    }

    // MARK: The extension

    /// A DisplayID section with the one timing that the base block can't hold, and the blocks that every
    /// section of a display must have. VESA DisplayID Standard 1.3, sections 2 and 4.
    private static func displayIDBlock(_ timing: CVTTiming) -> [UInt8] {
        let blocks = product + parameters(timing) + interface + typeITiming(timing)
        let size: UInt8 = 121
        var section = [0x13, size, 0x03, 0x00] + blocks  // version 1.3, a display of its own, no more sections
        section += Array(repeating: 0, count: Int(size) - blocks.count)
        section.append(checksum(section))
        let block = [0x70] + section
        return block + [checksum(block)]
    }

    /// Product identification: no serial number, no week, 2000 + 26, no name.
    private static let product: [UInt8] = [0x00, 0x00, 12] + manufacturer.utf8 + [0x01, 0x00, 0, 0, 0, 0, 0, 26, 0]

    /// Display parameters: size in tenths of a millimetre and in pixels, gamma 2.2, aspect ratio, 8 bits per colour.
    private static func parameters(_ timing: CVTTiming) -> [UInt8] {
        let long = max(timing.width, timing.height)
        let short = min(timing.width, timing.height)
        let sizes = [millimetres(timing.width) * 10, millimetres(timing.height) * 10, timing.width, timing.height]
        return [0x01, 0x00, 12] + sizes.flatMap { littleEndian($0, 2) }
            + [0x00, 120, UInt8(clamping: long * 100 / short - 100), 0x77]
    }

    /// Display interface features: one link of no standard, RGB of 8 bits.
    private static let interface: [UInt8] = [0x0f, 0x00, 10, 0xb1, 0x00, 0x02, 0, 0, 0, 0, 0, 0, 0]

    /// A detailed timing of type I, preferred, with the horizontal sync positive and the vertical negative.
    private static func typeITiming(_ timing: CVTTiming) -> [UInt8] {
        let positive = 0x8000
        let fields = [
            timing.width - 1, timing.horizontalBlank - 1, timing.horizontalFrontPorch - 1 | positive,
            timing.horizontalSync - 1,
            timing.height - 1, timing.verticalBlank - 1, timing.verticalFrontPorch - 1, timing.verticalSync - 1,
        ]
        return [0x03, 0x00, 20] + littleEndian(timing.pixelClock - 1, 3) + [0x80 | timing.displayIDAspect]
            + fields.flatMap { littleEndian($0, 2) }
    }

    // MARK: Numbers

    /// What makes the sum of all bytes a multiple of 256.
    private static func checksum(_ bytes: [UInt8]) -> UInt8 {
        0 &- bytes.reduce(0, &+)
    }

    /// Two 12-bit numbers: their low bytes, then their high digits in one.
    private static func low12(_ first: Int, _ second: Int) -> [UInt8] {
        [first, second, (first >> 8) << 4 | second >> 8].map { UInt8(truncatingIfNeeded: $0) }
    }

    private static func littleEndian(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private static func bigEndian(_ value: UInt16) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
    }

    /// The size of so many pixels at 96 to the inch; below 4096.
    private static func millimetres(_ pixels: Int) -> Int {
        pixels * 254 / 960
    }

    private static func centimetres(_ pixels: Int) -> UInt8 {
        UInt8(clamping: (millimetres(pixels) + 5) / 10)
    }
}

extension CVTTiming {
    fileprivate func holds(_ width: Int, _ height: Int) -> Bool {
        width <= self.width && height <= self.height
    }

    fileprivate var refreshRoundedUp: Int {
        let total = (width + horizontalBlank) * (height + verticalBlank)
        return (pixelClock * 10_000 + total - 1) / total
    }

    /// Timing options, bits 3:0.
    fileprivate var displayIDAspect: UInt8 {
        let ratios: [(Int, Int)] = [(1, 1), (5, 4), (4, 3), (15, 9), (16, 9), (16, 10), (64, 27), (256, 135)]
        return ratios.firstIndex { width * $0.1 == height * $0.0 }.map { UInt8($0) } ?? 8
    }
}
