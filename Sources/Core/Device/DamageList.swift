/// The changed parts of a picture, collected until somebody takes them, by a display that knows what it changes.
public struct DamageList: Sendable {
    /// The most rectangles there are at a time.
    public static let maximumRectangles = 64

    private var rectangles: [Rectangle] = []

    public init() {}

    /// Adds a rectangle, clipped to a picture of this size. It takes the place of those that it covers; when there are as many as
    /// there may be, it joins the one that grows the least.
    public mutating func add(_ rectangle: Rectangle, width: Int, height: Int) {
        let picture = Rectangle(x: 0, y: 0, width: width, height: height)
        guard let added = rectangle.intersection(picture) else { return }
        if rectangles.contains(where: { $0.contains(added) }) { return }
        rectangles.removeAll { added.contains($0) }
        guard rectangles.count >= Self.maximumRectangles else { return rectangles.append(added) }
        let growths = rectangles.map { $0.union(added).area - $0.area }
        guard let least = growths.indices.min(by: { growths[$0] < growths[$1] }) else { return }
        rectangles[least] = rectangles[least].union(added)
    }

    /// Makes the whole of a picture of this size the only rectangle.
    public mutating func addAll(width: Int, height: Int) {
        rectangles = [Rectangle(x: 0, y: 0, width: width, height: height)]
    }

    /// Forgets all.
    public mutating func clear() {
        rectangles = []
    }

    /// Gives out what there is, and forgets it.
    public mutating func take() -> [Rectangle] {
        defer { rectangles = [] }
        return rectangles
    }
}

extension Rectangle {
    /// The part that both have; nil when there is none. Both lie within 2^32 pixels.
    public func intersection(_ other: Rectangle) -> Rectangle? {
        let left = max(x, other.x)
        let top = max(y, other.y)
        let right = min(x + width, other.x + other.width)
        let bottom = min(y + height, other.y + other.height)
        guard left < right, top < bottom else { return nil }
        return Rectangle(x: left, y: top, width: right - left, height: bottom - top)
    }

    /// Whether all of `other` lies inside.
    public func contains(_ other: Rectangle) -> Bool {
        intersection(other) == other
    }

    /// The smallest rectangle round both.
    public func union(_ other: Rectangle) -> Rectangle {
        let left = min(x, other.x)
        let top = min(y, other.y)
        return Rectangle(
            x: left, y: top, width: max(x + width, other.x + other.width) - left,
            height: max(y + height, other.y + other.height) - top)
    }

    fileprivate var area: Int { width * height }
}
