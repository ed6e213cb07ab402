import Tap

/// What a watcher costs the device: an access that is written into the recorder's ring, with how long it took.
struct Recording {
    private static let times = 1 << 20
    private static let rounds = 15

    /// In nanoseconds an access.
    func measure() throws -> Result {
        let recorder = try EventRecorder()
        let values = (0..<Self.rounds).map { _ in Self.measure(recorder) }
        return Result(
            name: "What a recorder adds to a register read", unit: "ns",
            value: median(values), aim: 250)
    }

    private static func measure(_ recorder: EventRecorder) -> Double {
        let bytes: [UInt32] = [7]
        let start = now()
        for number in 0..<times {
            recorder.accessBegins(isRead: false)
            recorder.note(.read(region: 0, offset: UInt64(number & 0xfc), by: .message), bytes.span.bytes)
            recorder.accessEnds()
        }
        return Double(now() - start) / Double(times)
    }
}
