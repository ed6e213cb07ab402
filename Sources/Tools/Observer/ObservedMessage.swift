import Linux
import VFIO

/// Who has sent a message.
public enum Sender: UInt8, Sendable {
    case client = 1
    case server

    var other: Sender { self == .client ? .server : .client }
}

/// What an observer tells of: on the threads of the connections, one at a time for each direction of each.
public protocol ObserverDelegate: AnyObject, Sendable {
    /// A message passes, and has not been given on yet.
    ///
    /// - Parameters:
    ///   - message: header and payload. Valid during the call alone.
    ///   - descriptors: the kinds of those that it carries.
    ///   - connection: its number, from 0.
    func observe(_ message: RawSpan, descriptors: [String], from sender: Sender, connection: Int)

    /// Something that whoever watches should know, as a sentence.
    func observe(notice: String)
}
