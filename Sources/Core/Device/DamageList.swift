/// The parts of a picture that have changed since its one reader last took them.
struct DamageList {
    /// Whether all of the picture is to be told, of whatever size it is by then.
    private var isEverything = true
    private var rectangles: [Rectangle] = []

    /// Adds a rectangle. It takes the place of those that it covers; when there are as many as there may be, it joins
    /// the one that grows the least.
    mutating func add(_ added: Rectangle) {
        if isEverything || rectangles.contains(where: { $0.contains(added) }) { return }
        rectangles.removeAll { added.contains($0) }
        guard rectangles.count >= DamageWatch.maximumRectangles else { return rectangles.append(added) }
        let least = rectangles.indices.min {
            rectangles[$0].growth(holding: added) < rectangles[$1].growth(holding: added)
        }
        if let least { rectangles[least] = rectangles[least].union(added) }
    }

    /// Has all of the picture told next, whatever it is then.
    mutating func addAll() {
        isEverything = true
        rectangles = []
    }

    /// Gives out what there is, clipped to the picture, and forgets it. While there is no picture everything waits.
    mutating func take(of picture: Scanout?) -> [Rectangle] {
        guard let picture else { return [] }
        defer {
            isEverything = false
            rectangles = []
        }
        let whole = Rectangle(x: 0, y: 0, width: picture.width, height: picture.height)
        return isEverything ? [whole] : rectangles.compactMap { $0.intersection(whole) }
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

    /// How many pixels more there are when it is to hold `other` as well.
    fileprivate func growth(holding other: Rectangle) -> Int {
        let both = union(other)
        return both.width * both.height - width * height
    }
}
