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

/// A device whose monitors come and go while the guest runs.
public protocol MonitorDevice: AnyObject {
    /// Puts a monitor at a head, or another in the place of the one there, or takes it away (nil), and tells the guest.
    ///
    /// - Throws: ``MonitorError`` when there is no such head, or it can't have that monitor; nothing has changed then.
    func connect(_ monitor: Monitor?, to head: Int) throws(MonitorError)
}

/// A head that can't have such a monitor. The description is a sentence for the user, with the numbers.
public struct MonitorError: Error, CustomStringConvertible, Equatable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
