/// Something that happened to a device process, for its administrator.
public struct ControlEvent: Codable, Equatable, Sendable {
    /// Counts the process's events from 1.
    public var number: Int
    /// When, in seconds since 1970-01-01 00:00 UTC.
    public var time: Double
    /// What kind of event: one of ``Kind``, or one that a later version knows.
    public var kind: String
    /// A sentence; at most ``EventLog/messageLimit`` bytes.
    public var message: String

    public enum Kind: String, CaseIterable, Sendable {
        /// The process serves its device.
        case started
        case clientConnected = "client-connected"
        case clientLeft = "client-left"
        /// Somebody who may not be a client came.
        case clientDenied = "client-denied"
        /// Somebody came while another was the client.
        case clientRefused = "client-refused"
        /// A client said nothing and lost its place.
        case clientSilent = "client-silent"
        /// Something happened to the device itself.
        case device
        /// The device has another quota, or another monitor.
        case modified
        /// A rule has altered what passes.
        case altered
        /// A connection could not be taken for want of descriptors or memory.
        case connectionFailed = "connection-failed"

        /// Whether others can cause as many as they like, who are not known to be good for anything else.
        var isAtWill: Bool { self == .clientDenied || self == .clientRefused || self == .altered }
    }
}

/// The events that a process still has of those that were asked for.
public struct ControlEvents: Codable, Equatable, Sendable {
    /// In the order of their numbers, which may have gaps.
    public var events: [ControlEvent]
    /// The number of the process's last event: what to ask for next is what comes after it.
    public var last: Int
    /// How many of those that were asked for aren't there.
    public var lost: Int
}
