import Tap

/// How long requests in virtqueues take, by what they are: from when the device takes one until it gives it back. The
/// first that was taken counts as the first that is given back, since an event doesn't say which it is.
struct RequestTimes: Sendable {
    private var times: [String: EventSummary.Times] = [:]
    /// What the device has, by the number of the queue.
    private var open: [UInt64: ArraySlice<(name: String, time: UInt64)>] = [:]

    /// A guest can make any number of each.
    private static let maximumNames = 256
    private static let maximumQueues = 64
    private static let maximumOpen = 1024

    mutating func add(_ event: Event, _ names: RegisterNames) {
        guard open[event.offset] != nil || open.count < Self.maximumQueues else { return }
        guard event.kind == .completion else {
            let name = names.queue(event) + (names.command(event).map { " \($0)" } ?? "")
            if open[event.offset, default: []].count < Self.maximumOpen {
                open[event.offset, default: []].append((name, event.time))
            }
            return
        }
        guard let request = open[event.offset]?.popFirst() else { return }
        guard times[request.name] != nil || times.count < Self.maximumNames else { return }
        times[request.name, default: .init()].add(event.time >= request.time ? event.time - request.time : nil)
    }

    /// Events were missed here, perhaps answers among them.
    mutating func miss() { open = [:] }

    /// The most frequent first.
    var sorted: [(name: String, times: EventSummary.Times)] {
        times.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }.map { (name: $0.key, times: $0.value) }
    }
}
