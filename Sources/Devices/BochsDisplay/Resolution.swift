import Device

/// A picture's size in pixels, written as in `1024x768`.
struct Resolution: CustomStringConvertible {
    static let widths = 640...DISPI.maximumWidth
    static let heights = 480...DISPI.maximumHeight

    let width: Int
    let height: Int

    /// - Throws: ``OptionError`` when it is not of the form WIDTHxHEIGHT, or too small or too large.
    init(_ text: String) throws(OptionError) {
        let parts = text.split(separator: "x", omittingEmptySubsequences: false)
        guard parts.count == 2, let width = Int(parts[0]), let height = Int(parts[1]) else {
            throw OptionError("Option 'resolution' is '\(text)' but must be WIDTHxHEIGHT, such as 1024x768.")
        }
        guard Self.widths.contains(width), Self.heights.contains(height) else {
            throw OptionError(
                "Option 'resolution' is '\(text)' but must be from "
                    + "\(Self.widths.lowerBound)x\(Self.heights.lowerBound) "
                    + "to \(Self.widths.upperBound)x\(Self.heights.upperBound).")
        }
        self.width = width
        self.height = height
    }

    /// With 32 bits per pixel.
    var bytes: Int { width * height * 4 }

    /// In MiB, rounded up.
    var megabytes: Int { (bytes + (1 << 20) - 1) >> 20 }

    var description: String { "\(width)x\(height)" }
}
