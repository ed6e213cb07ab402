/// Where a function is on a guest's buses, in segment 0. Written as `lspci` does: `BB:DD.F`, with hexadecimal digits.
public struct FunctionAddress: Hashable, Sendable {
    public let bus: UInt8
    /// 0 to 31.
    public let device: UInt8
    /// 0 to 7.
    public let function: UInt8

    /// - Returns: nil where no such function can be.
    public init?(bus: UInt8, device: UInt8, function: UInt8 = 0) {
        guard device < 32, function < 8 else { return nil }
        (self.bus, self.device, self.function) = (bus, device, function)
    }

    /// - Returns: nil for what is not written as `00:05.0` is.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let rest = parts[1].split(separator: ".", omittingEmptySubsequences: false)
        guard rest.count == 2, let bus = Self.number(parts[0], digits: 2), let device = Self.number(rest[0], digits: 2),
            let function = Self.number(rest[1], digits: 1)
        else { return nil }
        self.init(bus: bus, device: device, function: function)
    }

    private static func number(_ text: Substring, digits: Int) -> UInt8? {
        text.utf8.count == digits && text.allSatisfy(\.isHexDigit) ? UInt8(text, radix: 16) : nil
    }

    /// Bits 15:8 are the bus, 7:3 the device, 2:0 the function.
    public var routingID: UInt16 { UInt16(bus) << 8 | UInt16(device) << 3 | UInt16(function) }
}

extension FunctionAddress: CustomStringConvertible {
    public var description: String {
        func hex(_ value: UInt8) -> String { (value < 16 ? "0" : "") + String(value, radix: 16) }
        return "\(hex(bus)):\(hex(device)).\(function)"
    }
}
