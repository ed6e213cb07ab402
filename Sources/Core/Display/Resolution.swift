import Device

/// A picture's size in pixels, written as in `1024x768`.
public struct Resolution: Equatable, Sendable, CustomStringConvertible {
    /// What an ``EDID`` can describe.
    public static let widths = 640...8192
    public static let heights = 480...8192

    public let width: Int
    public let height: Int

    /// - Throws: ``OptionError`` when it is not of the form WIDTHxHEIGHT, or too small or too large.
    public init(_ text: String) throws(OptionError) {
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

    /// - Returns: nil when it is too small or too large.
    public init?(width: Int, height: Int) {
        guard Self.widths.contains(width), Self.heights.contains(height) else { return nil }
        self.width = width
        self.height = height
    }

    /// With 32 bits per pixel.
    public var bytes: Int { width * height * 4 }

    /// In MiB, rounded up.
    public var megabytes: Int { (bytes + (1 << 20) - 1) >> 20 }

    public var description: String { "\(width)x\(height)" }
}
