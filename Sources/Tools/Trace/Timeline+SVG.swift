import Text

/// The timeline as a picture that stands alone: SVG 1.1, for light and dark surroundings.
extension Timeline {
    private enum Size {
        static let width = 1200.0
        static let left = 170.0
        static let right = 150.0
        static let top = 74.0
        static let lane = 40.0
        static let bar = 30.0
        static let bottom = 44.0
        static var plot: Double { width - left - right }
    }

    /// - Parameters:
    ///   - title: what is seen: the device's type.
    ///   - clock: what makes nanoseconds since 1970 of an event's time.
    public func svg(_ title: String, clock: UInt64) -> String {
        let rows = lanes.sorted { Self.place($0.key) < Self.place($1.key) }
        let height = Size.top + Double(rows.count) * Size.lane + Size.bottom
        let begin = EventText.timeOfDay((first ?? 0) &+ clock)
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.text(Size.width)) \(Self.text(height))" \
            font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13">
            """,
            "<title>\(Self.escaped(title))</title>", Self.style,
            "<rect class=\"ground\" width=\"\(Self.text(Size.width))\" height=\"\(Self.text(height))\"/>",
            "<text class=\"title\" x=\"24\" y=\"34\">\(Self.escaped(title))</text>",
            """
            <text class="faint" x="24" y="54">from \(begin) UTC, \(EventText.duration(duration)); \
            each bar: \(EventText.duration(stretch))\(missed > 0 ? "; \(Self.grouped(missed)) events were missed" : "")</text>
            """,
        ]
        lines += grid(to: height - Size.bottom)
        for (index, row) in rows.enumerated() {
            lines += lane(row.key, row.value, at: Size.top + Double(index) * Size.lane)
        }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    /// Accesses first, in the order of their regions; what is under way in the middle; all else last.
    private static func place(_ lane: TimelineItem.Lane) -> (Int, String) {
        let group =
            switch lane.style {
            case .read, .write: 0
            case .queue: 1
            case .memory, .fault: 2
            case .interrupt: 3
            default: 4
            }
        return (group, lane.name)
    }

    // MARK: Lanes

    private func lane(_ key: TimelineItem.Lane, _ lane: Lane, at y: Double) -> [String] {
        let middle = Self.text(y + Size.lane / 2 + 4)
        return [
            "<line class=\"line\" x1=\"\(Self.text(Size.left))\" x2=\"\(Self.text(Size.width - Size.right))\" "
                + "y1=\"\(Self.text(y + Size.lane - 4))\" y2=\"\(Self.text(y + Size.lane - 4))\"/>",
            "<text class=\"name\" text-anchor=\"end\" x=\"\(Self.text(Size.left - 12))\" y=\"\(middle)\">"
                + "\(Self.escaped(String(key.name.prefix(24))))</text>",
            "<path class=\"\(key.style)\" d=\"\(bars(lane, bottom: y + Size.lane - 4))\"/>",
            "<text class=\"name\" x=\"\(Self.text(Size.width - Size.right + 12))\" "
                + "y=\"\(Self.text(y + Size.lane / 2 - 1))\">\(Self.grouped(lane.count))</text>",
            "<text class=\"faint small\" x=\"\(Self.text(Size.width - Size.right + 12))\" "
                + "y=\"\(Self.text(y + Size.lane / 2 + 13))\">\(peak(lane))</text>",
        ]
    }

    /// One bar for each stretch with something in it.
    private func bars(_ lane: Lane, bottom: Double) -> String {
        // Of what is under way the whole height is a whole stretch.
        let most = lane.isBusy ? stretch : lane.amounts.max() ?? 0
        guard most > 0, duration > 0 else { return "" }
        let scale = Size.plot / Double(duration)
        return lane.amounts.enumerated().filter { $0.element > 0 }.map { index, amount in
            let x = Double(UInt64(index) * stretch) * scale
            let width = max(1, min(Double(stretch) * scale, Size.plot - x))
            let height = max(1.5, min(1, Double(amount) / Double(most)) * Size.bar)
            let left = Self.text(Size.left + min(x, Size.plot - width))
            return "M\(left) \(Self.text(bottom))v-\(Self.text(height))h\(Self.text(width))v\(Self.text(height))z"
        }.joined()
    }

    private func peak(_ lane: Lane) -> String {
        if lane.isBusy {
            let busy = lane.amounts.reduce(0) { $0 + Double($1) }
            return "busy \(Self.text(duration > 0 ? min(100, busy / Double(duration) * 100) : 0)) %"
        }
        let most = Double(lane.amounts.max() ?? 0) / (Double(min(stretch, max(duration, 1))) / 1e9)
        return "at most \(Self.grouped(UInt64(min(most, 1e15))))/s"
    }

    // MARK: Time

    private func grid(to bottom: Double) -> [String] {
        guard duration > 0 else { return [] }
        let step = Self.step(for: duration)
        return (0...duration / step).map { $0 * step }.flatMap { time in
            let x = Self.text(Size.left + Double(time) / Double(duration) * Size.plot)
            return [
                "<line class=\"grid\" x1=\"\(x)\" x2=\"\(x)\" y1=\"\(Self.text(Size.top - 4))\" "
                    + "y2=\"\(Self.text(bottom))\"/>",
                "<text class=\"faint small\" text-anchor=\"middle\" x=\"\(x)\" y=\"\(Self.text(bottom + 18))\">"
                    + "\(time == 0 ? "0" : EventText.duration(time))</text>",
            ]
        }
    }

    /// 1, 2 or 5 times a power of ten, so that there are at most ten.
    private static func step(for duration: UInt64) -> UInt64 {
        var power: UInt64 = 1
        while power <= duration / 100 { power *= 10 }
        return [1, 2, 5, 10].map { $0 * power }.first { duration / $0 <= 10 } ?? 10 * power
    }

    // MARK: Text

    /// With one decimal at most.
    private static func text(_ number: Double) -> String {
        let tenths = (number * 10).rounded() / 10
        return tenths == tenths.rounded() ? "\(Int(tenths))" : "\(tenths)"
    }

    private static func grouped(_ number: UInt64) -> String {
        var groups: [Substring] = []
        var rest = Substring(String(number))
        while rest.count > 3 {
            groups.insert(rest.suffix(3), at: 0)
            rest = rest.dropLast(3)
        }
        return ([rest] + groups).joined(separator: "\u{2009}")
    }

    /// A device's names may hold anything.
    private static func escaped(_ text: String) -> String {
        text.printable.map { character in
            switch character {
            case "<": "&lt;"
            case ">": "&gt;"
            case "&": "&amp;"
            case "\"": "&quot;"
            default: String(character)
            }
        }.joined()
    }

    private static let style = """
        <style>
        .ground { fill: #ffffff } .title { fill: #1c2430; font-size: 17px; font-weight: 600 }
        .name { fill: #1c2430 } .faint { fill: #64707f } .small { font-size: 11px }
        path { shape-rendering: crispEdges }
        .grid { stroke: #e3e7ec } .line { stroke: #c9d0d8 }
        .read { fill: #2a78c8 } .write { fill: #d98412 } .memory { fill: #7a5bc4 } .fault { fill: #cc2f3c }
        .interrupt { fill: #c2418c } .queue { fill: #1f9a6d } .plain { fill: #64707f }
        @media (prefers-color-scheme: dark) {
        .ground { fill: #14181f } .title, .name { fill: #e6eaf0 } .faint { fill: #93a0b0 }
        .grid { stroke: #262d37 } .line { stroke: #3a4450 }
        .read { fill: #5ba3ec } .write { fill: #f0a63c } .memory { fill: #a58af0 } .fault { fill: #f2616d }
        .interrupt { fill: #ea74b6 } .queue { fill: #45c794 } .plain { fill: #93a0b0 }
        }
        </style>
        """
}
