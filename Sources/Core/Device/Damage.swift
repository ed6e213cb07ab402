/// What has changed in a head's picture, for each who watches it.
///
/// A head has one of these for as long as it lives. A display that knows what it changes tells so; one that doesn't,
/// since its guest writes to memory that it has mapped, has pixels compared with a copy when a watcher asks. Every
/// ``DamageWatch`` has a place of its own: what it takes, the others still get, and while nobody watches nothing is
/// kept.
public final class Damage {
    /// One watcher's.
    fileprivate final class Place {
        var list = DamageList()
    }

    private var places: [Place] = []
    private let comparesPixels: Bool
    private var tracker = DamageTracker()

    /// - Parameter comparesPixels: whether changes are found by comparing; else the display tells them.
    public init(comparingPixels comparesPixels: Bool = false) {
        self.comparesPixels = comparesPixels
    }

    // MARK: What a display tells

    /// Pixels have changed.
    ///
    /// - Parameter rectangle: inside the picture.
    public func add(_ rectangle: Rectangle) {
        for place in places { place.list.add(rectangle) }
    }

    /// The picture is another one from now on, or there is none, or one again.
    public func addAll() {
        for place in places { place.list.addAll() }
    }

    // MARK: What watchers ask for

    /// What was last compared; nil when there is no copy.
    fileprivate var snapshot: Scanout? { tracker.snapshot }

    fileprivate func makePlace() -> Place {
        let place = Place()
        places.append(place)
        return place
    }

    fileprivate func remove(_ place: Place) {
        places.removeAll { $0 === place }
        if places.isEmpty { tracker.forget() }
    }

    fileprivate func take(_ place: Place, of scanout: Scanout?) -> [Rectangle] {
        if comparesPixels { compare(scanout) }
        return place.list.take(of: scanout)
    }

    /// There is one copy for all, so what a look finds is everybody's.
    private func compare(_ scanout: Scanout?) {
        guard let changed = tracker.look(at: scanout) else { return addAll() }
        for rectangle in changed { add(rectangle) }
    }
}

/// A place from which one watches what changes in a head's picture, beside whoever else does. It is given up when this
/// object goes away.
///
/// One who takes seldom, or never, gets fewer and larger rectangles, and costs no more than those. All of it happens on
/// the device's thread.
public final class DamageWatch {
    /// The most rectangles that one call tells, and that are kept for it.
    public static let maximumRectangles = 64

    private weak var head: (any DisplayHead)?
    private let damage: Damage
    private let place: Damage.Place

    init(_ head: any DisplayHead) {
        self.head = head
        damage = head.damage
        place = damage.makePlace()
    }

    deinit {
        damage.remove(place)
    }

    /// The rectangles in which pixels may have changed since this watcher's last call, clipped to the scanout;
    /// everything at first and after a change of mode. None while there is no scanout. The cost is at most one pass
    /// over the visible pixels.
    public func take() -> [Rectangle] {
        guard let head else { return [] }
        return damage.take(place, of: head.scanout)
    }

    /// The picture that whoever repaints by rectangles reads them from, right after ``take()``. In
    /// ``DisplayHead/scanout`` pixels may have changed since, and change back before the next call, which then finds
    /// nothing. Nil while there is no scanout, and when the display is gone.
    ///
    /// Where pixels are compared, all watchers share this copy. Another's look may have brought it further than your
    /// last ``take()``; your next one tells what came in between.
    public var picture: Scanout? {
        guard let head else { return nil }
        return damage.snapshot ?? head.scanout
    }
}
