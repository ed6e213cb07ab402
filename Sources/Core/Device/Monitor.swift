/// A monitor at a head of a display, as the guest is told of it: the size of picture that it prefers.
public struct Monitor: Codable, Equatable, Sendable {
    /// In pixels.
    public var width: Int
    public var height: Int

    public init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }
}

/// A head that can't have such a monitor. The description is a sentence for the user, with the numbers.
public struct MonitorError: Error, CustomStringConvertible, Equatable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
