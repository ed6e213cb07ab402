/// Where a transport's clients come in: what whoever alters accesses may do to the one who makes them.
///
/// A transport that has one asks `Host.alterer` whether an access that has come is to wait, and goes on with all else
/// meanwhile.
public protocol Entrance: AnyObject {
    /// Ends the connection of the client that is there, if one is.
    func disconnect()
}
