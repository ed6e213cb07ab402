import Tap

/// What an event is on a timeline: something on a lane, at a moment or for a while.
struct TimelineItem {
    enum Shape: Equatable {
        case moment
        /// In nanoseconds.
        case span(UInt64)
        /// Something begins that an ``end`` of the same lane ends, the first of them the first.
        case begin
        case end
    }

    struct Lane: Hashable {
        let name: String
        let style: EventText.Style
    }

    let lane: Lane
    let name: String
    let shape: Shape

    init(_ event: Event, _ names: RegisterNames) {
        let style = event.kind.style
        func lane(_ name: String) -> Lane { Lane(name: name, style: style) }
        let region = EventText.region(event.region)
        shape = Self.shape(event)
        switch event.kind {
        case .read, .write:
            self.lane = lane("\(region) \(event.kind.word)s")
            name = names[event] ?? "0x\(String(event.offset, radix: 16))"
        case .doorbell:
            self.lane = lane("\(region) doorbells")
            name = "0x\(String(event.offset, radix: 16))"
        case .memoryRead: (self.lane, name) = (lane("DMA reads"), "\(event.count) bytes")
        case .memoryWrite: (self.lane, name) = (lane("DMA writes"), "\(event.count) bytes")
        case .memoryFault: (self.lane, name) = (lane("DMA faults"), "fault")
        case .look: (self.lane, name) = (lane("looks at memory"), event.name)
        case .message: (self.lane, name) = (lane("interrupts"), "vector \(event.offset)")
        case .pin: (self.lane, name) = (lane("pin"), "asserted")
        case .request, .completion: (self.lane, name) = (lane(names.queue(event)), names.command(event) ?? "request")
        case .sent, .received:
            self.lane = Lane(name: event.name, style: Self.isWork(event) ? .queue : .plain)
            name = event.kind.word
        default: (self.lane, name) = (lane("all else"), event.kind.word)
        }
    }

    private static func shape(_ event: Event) -> Shape {
        switch event.kind {
        case .read, .write: .span(UInt64(event.latency ?? 0))
        case .request: .begin
        case .completion: .end
        case .pin: event.value == 0 ? .end : .begin
        case .sent where isWork(event): .begin
        case .received where isWork(event): .end
        default: .moment
        }
    }

    /// Whether something is asked there and answered, as a worker process is. A line has two ways of its own.
    private static func isWork(_ event: Event) -> Bool { event.name == "renderer" }
}
