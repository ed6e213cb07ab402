/// A device that shows pictures.
public protocol DisplayDevice: AnyObject {
    /// What each head shows, by its number.
    var heads: [any DisplayHead] { get }
}

/// What one head of a display shows: read by screenshots, consoles and encoders.
public protocol DisplayHead: AnyObject {
    /// What is scanned out now; nil while the head is off or the mode makes no sense.
    var scanout: Scanout? { get }

    /// What the display lays over the picture; nil while it shows none.
    var cursor: Cursor? { get }

    /// What changes in the picture, for those who watch it: the same object as long as the head lives.
    var damage: Damage { get }
}

extension DisplayHead {
    public var cursor: Cursor? { nil }

    /// A place of its own from which to watch what changes. A device that is made anew has other heads, to be watched
    /// anew.
    public func watchDamage() -> DamageWatch { DamageWatch(self) }
}
