import Linux

extension Scanout {
    /// Writes one line of the picture as 8-bit red, green, blue.
    ///
    /// - Parameters:
    ///   - y: from the top, 0 to ``height`` - 1.
    ///   - row: 3 bytes for each pixel. What there is no room for is left out; what is beyond the
    ///     picture stays as it is.
    public func rgbRow(_ y: Int, into row: inout MutableSpan<UInt8>) {
        guard y >= 0, y < height else { return }
        let size = format.bytesPerPixel
        let count = min(width, row.count / 3)
        // Copied in pieces: the guest may write while the picture is read.
        var piece = InlineArray<1020, UInt8>(repeating: 0)
        var x = 0
        while x < count {
            let pixels = min(count - x, 1020 / size)
            var colours = piece.mutableSpan
            var bytes = colours.mutableBytes
            let place = offset &+ y &* stride &+ x &* size
            guard memory.copy(at: place, count: pixels * size, into: &bytes) else { return }
            convert(piece.span.extracting(first: pixels * size), into: &row, from: x)
            x += pixels
        }
    }

    @_lifetime(row: copy row)
    private func convert(_ bytes: borrowing Span<UInt8>, into row: inout MutableSpan<UInt8>, from x: Int) {
        let size = format.bytesPerPixel
        var target = x * 3
        for source in Swift.stride(from: 0, to: bytes.count, by: size) {
            let colour = colour(of: bytes, at: source)
            row[target] = colour.red
            row[target + 1] = colour.green
            row[target + 2] = colour.blue
            target += 3
        }
    }

    private typealias Colour = (red: UInt8, green: UInt8, blue: UInt8)

    private func colour(of bytes: borrowing Span<UInt8>, at i: Int) -> Colour {
        switch format {
        case .xrgb8888, .argb8888, .rgb888: (bytes[i + 2], bytes[i + 1], bytes[i])
        case .bgrx8888, .bgra8888: (bytes[i + 1], bytes[i + 2], bytes[i + 3])
        case .xbgr8888, .abgr8888, .bgr888: (bytes[i], bytes[i + 1], bytes[i + 2])
        case .rgbx8888, .rgba8888: (bytes[i + 3], bytes[i + 2], bytes[i + 1])
        case .rgb565: Self.from565(UInt16(bytes[i + 1]) << 8 | UInt16(bytes[i]))
        case .rgb565BigEndian: Self.from565(UInt16(bytes[i]) << 8 | UInt16(bytes[i + 1]))
        case .xrgb1555: Self.from1555(UInt16(bytes[i + 1]) << 8 | UInt16(bytes[i]))
        case .xrgb1555BigEndian: Self.from1555(UInt16(bytes[i]) << 8 | UInt16(bytes[i + 1]))
        case .indexed8:
            Int(bytes[i]) < palette.count ? Self.from888(palette[Int(bytes[i])]) : (0, 0, 0)
        }
    }

    private static func from888(_ value: UInt32) -> Colour {
        (
            UInt8(truncatingIfNeeded: value >> 16), UInt8(truncatingIfNeeded: value >> 8),
            UInt8(truncatingIfNeeded: value)
        )
    }

    private static func from565(_ value: UInt16) -> Colour {
        let green = UInt8(value >> 5 & 0x3f)
        return (widen5(value >> 11), green << 2 | green >> 4, widen5(value))
    }

    private static func from1555(_ value: UInt16) -> Colour {
        (widen5(value >> 10), widen5(value >> 5), widen5(value))
    }

    /// The low five bits, spread so that full intensity stays full.
    private static func widen5(_ value: UInt16) -> UInt8 {
        let five = UInt8(value & 0x1f)
        return five << 3 | five >> 2
    }
}
