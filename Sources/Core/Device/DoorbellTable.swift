import Linux

/// The eventfds behind which a client or a hypervisor has put a function's doorbells. One thread at a time.
public final class DoorbellTable {
    private struct Key: Hashable {
        let bar: Int
        let doorbell: Doorbell
    }

    private struct Bell {
        let eventFD: EventFD
        let token: EventLoop.Token
    }

    /// Whose they are; another one after ``Function/remade(_:)``.
    public var function: Function
    private var bells: [Key: Bell] = [:]
    /// Those that were rung while the function stood still.
    private var waiting: Set<Key> = []
    /// How many rings came this way. The device hears of those that came together once.
    public private(set) var rung: UInt64 = 0

    public init(_ function: Function) {
        self.function = function
    }

    /// The eventfd that rings a doorbell; the same one each time it is asked for.
    public func eventFD(of doorbell: Doorbell, bar: Int) throws(Errno) -> EventFD {
        let key = Key(bar: bar, doorbell: doorbell)
        if let bell = bells[key] { return bell.eventFD }
        let eventFD = try EventFD()
        let token = try function.host.loop.watch("doorbell", eventFD.descriptor, for: .readable) { [unowned self] _ in
            ringIfSignalled(eventFD, key)
        }
        bells[key] = Bell(eventFD: eventFD, token: token)
        return eventFD
    }

    /// Rings every doorbell that has been signalled: before the device stops, so that its state has them all.
    public func ringAll() {
        for (key, bell) in bells { ringIfSignalled(bell.eventFD, key) }
    }

    /// The function goes on: what was rung while it stood still is there yet.
    public func goOn() {
        for key in waiting { if let bell = bells[key] { try? function.host.loop.change(bell.token, to: .readable) } }
        waiting.removeAll()
    }

    private func ringIfSignalled(_ eventFD: EventFD, _ key: Key) {
        guard function.isRunning else {
            // It stays readable: the loop is not to turn for it.
            if let bell = bells[key], waiting.insert(key).inserted {
                try? function.host.loop.change(bell.token, to: [])
            }
            return
        }
        let rings = eventFD.consume()
        guard rings > 0 else { return }
        rung &+= rings
        function.ring(key.doorbell, bar: key.bar, times: rings)
    }

    /// Closes every eventfd.
    public func reset() {
        for bell in bells.values { function.host.loop.unwatch(bell.token) }
        bells.removeAll()
        waiting.removeAll()
    }
}
