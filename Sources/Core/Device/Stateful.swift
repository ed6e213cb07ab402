import JSON

/// What has a state that is saved, in a form with a version of its own.
///
/// A saved state outlives the program that wrote it: it is kept in files and taken over by newer programs. So every
/// form that a state ever had is read, and a form that is newer than the program is refused.
public protocol Stateful {
    /// The version of the form in which the state is saved; 1 unless declared. States that tell none have version 1.
    ///
    /// A change of the form is a new version when states of the one before can't be decoded as they are, or when a
    /// program that knows only that one must not take the new one. A member that is optional, and says nothing where it
    /// is missing, is neither.
    static var stateVersion: Int { get }

    /// A state as ``stateVersion`` has it, from the form of an older version. Refused unless given.
    ///
    /// - Parameter version: from 1 to ``stateVersion`` - 1. Whoever saved it may be hostile all the same.
    static func migrate(_ state: JSON, from version: Int) throws(StateError) -> JSON

    /// A state of ``stateVersion`` with those of its parts brought up to date that have versions of their own; none has
    /// unless given.
    static func migrateParts(of state: JSON) throws(StateError) -> JSON
}

extension Stateful {
    public static var stateVersion: Int { 1 }

    public static func migrate(_ state: JSON, from version: Int) throws(StateError) -> JSON {
        throw StateError("The state has version \(version), which is not read any more: it must be \(stateVersion).")
    }

    public static func migrateParts(of state: JSON) throws(StateError) -> JSON { state }

    /// A state as this program has it, from that of whatever version.
    ///
    /// - Parameter name: whose state it is, for messages.
    public static func upToDate(_ state: JSON, from version: Int, of name: String) throws(StateError) -> JSON {
        guard version <= stateVersion else {
            throw StateError(
                "The state of \(name) has version \(version), made by a newer Mediated; this one reads up to version "
                    + "\(stateVersion). Load it with the newer one.")
        }
        guard version >= 1 else {
            throw StateError("The state of \(name) has version \(version); it must be from 1 to \(stateVersion).")
        }
        return try migrateParts(of: version == stateVersion ? state : migrate(state, from: version))
    }
}
