import Tap

/// How much happened when, for a picture: counts by lane and by stretches of time, which grow with the time that is
/// looked at. So it takes the same memory for a second and for a year.
public struct Timeline: Sendable {
    private let names: RegisterNames
    /// The time of the first event.
    private(set) var first: UInt64?
    /// The time from the first event to the end of the last.
    private(set) var duration: UInt64 = 0
    /// The length of a stretch, in nanoseconds.
    private(set) var stretch: UInt64 = 1000
    private(set) var lanes: [TimelineItem.Lane: Lane] = [:]
    /// How many events were missed.
    private(set) var missed: UInt64 = 0

    /// How many stretches there are at most.
    static let stretches = 1024
    private static let maximumLanes = 40
    /// How many things a lane can be about at once: a guest can begin any number.
    private static let maximumOpen = 4096

    struct Lane: Sendable {
        /// How much in each stretch: how often something happened, or for how many nanoseconds something was under way.
        var amounts = [UInt64](repeating: 0, count: stretches)
        /// How often something happened.
        var count: UInt64 = 0
        /// Whether ``amounts`` are times.
        var isBusy = false
        /// How much is under way, and since when.
        var open = 0
        var since: UInt64 = 0
    }

    /// - Parameter names: of the device's registers and queues.
    public init(_ names: RegisterNames) {
        self.names = names
    }

    public mutating func add(_ event: Event) {
        let item = TimelineItem(event, names)
        let start = first ?? event.time
        first = start
        let time = event.time >= start ? event.time - start : 0
        var key = item.lane
        if lanes[key] == nil, lanes.count >= Self.maximumLanes { key = .init(name: "all else", style: .plain) }
        var end = time
        if case .span(let nanoseconds) = item.shape { end = time &+ nanoseconds < time ? .max : time &+ nanoseconds }
        reach(end)
        var lane = lanes.removeValue(forKey: key) ?? Lane()
        switch item.shape {
        case .moment, .span:
            lane.count += 1
            lane.amounts[Int(time / stretch)] += 1
        case .begin:
            lane.isBusy = true
            lane.count += 1
            if lane.open == 0 { lane.since = time }
            lane.open = min(lane.open + 1, Self.maximumOpen)
        case .end where lane.open > 0:
            lane.open -= 1
            if lane.open == 0 { occupy(&lane, from: lane.since, to: time) }
        case .end: break
        }
        lanes[key] = lane
    }

    /// So many events were missed here: what was under way until now counts, and nobody knows of what came then.
    public mutating func miss(_ count: UInt64) {
        missed &+= count
        finish()
    }

    /// Counts what is still under way until the end.
    public mutating func finish() {
        for key in lanes.keys {
            guard var lane = lanes[key], lane.open > 0 else { continue }
            lane.open = 0
            occupy(&lane, from: lane.since, to: duration)
            lanes[key] = lane
        }
    }

    private func occupy(_ lane: inout Lane, from start: UInt64, to end: UInt64) {
        var time = start
        while time < end {
            let index = Int(time / stretch)
            let length = min(end - time, stretch - time % stretch)
            lane.amounts[index] += length
            time += length
        }
    }

    /// Makes the stretches so long that they reach to a time.
    private mutating func reach(_ time: UInt64) {
        duration = max(duration, time)
        while time / stretch >= UInt64(Self.stretches) {
            stretch *= 2
            for key in lanes.keys {
                guard let amounts = lanes[key]?.amounts else { continue }
                for index in 0..<Self.stretches / 2 {
                    lanes[key]?.amounts[index] = amounts[2 * index] &+ amounts[2 * index + 1]
                }
                for index in Self.stretches / 2..<Self.stretches { lanes[key]?.amounts[index] = 0 }
            }
        }
    }
}
