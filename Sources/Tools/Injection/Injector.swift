import Alteration
import Device
import Linux
import Tap
import Trace

/// Alters what passes a function's doors, by rules that come and go while a guest runs.
///
/// Each rule counts the passages that it fits. The first one whose turn it is acts; one passage is altered by one rule
/// at most, or waits for one and is altered by another then.
public final class Injector: Alterer {
    public static let mostRules = 64

    /// One of the rules, and what it has done.
    struct Entry {
        let id: Int
        let rule: Rule
        /// How long an access may wait, in nanoseconds.
        let limit: UInt64
        var counter: OccurrenceCounter
        var altered: UInt64 = 0
    }

    /// Told, in a sentence, what was altered.
    public var onAlteration: (String) -> Void = { _ in }

    unowned let host: Host
    let names: RegisterNames
    private(set) var entries: [Entry] = []
    private var lastID = 0
    let waitingRoom: WaitingRoom
    let clock: () -> UInt64

    /// - Parameters:
    ///   - host: whose passages they are. It must outlive this.
    ///   - names: of the device's registers.
    ///   - clock: the time in nanoseconds. CLOCK_MONOTONIC
    public init(
        _ host: Host, _ names: RegisterNames, clock: @escaping () -> UInt64 = { SystemClock.nanoseconds }
    ) throws(Errno) {
        self.host = host
        self.names = names
        self.clock = clock
        waitingRoom = try WaitingRoom(host.loop, clock: clock)
    }

    // MARK: Rules

    public var isEmpty: Bool { entries.isEmpty }

    /// Adds a rule; it holds from now on.
    ///
    /// - Parameter limit: how long an access may wait at most, in nanoseconds.
    /// - Returns: its number.
    /// - Throws: ``InjectionError`` when it can't be done here.
    public func add(_ rule: Rule, limit: UInt64) throws(InjectionError) -> Int {
        guard entries.count < Self.mostRules else { throw .full }
        if let register = rule.filter.unknownRegister(of: names) { throw .noSuchRegister(register, names.all) }
        let altersAccess = rule.filter.kinds?.contains { $0 == .read || $0 == .write } ?? false
        if rule.action == .disconnect || rule.action.waits && altersAccess, host.entrance == nil {
            throw .cannotWait
        }
        if case .delay(let time) = rule.action, altersAccess, time > limit { throw .longerThanLimit(limit) }
        lastID += 1
        entries.append(
            Entry(id: lastID, rule: rule, limit: limit, counter: OccurrenceCounter(rule.occurrence)))
        return lastID
    }

    /// Takes a rule away, or all. What waits for it goes on.
    ///
    /// - Parameter id: of the rule; nil: all.
    /// - Throws: ``InjectionError`` when there is no such rule.
    public func clear(_ id: Int?) throws(InjectionError) {
        guard id == nil || entries.contains(where: { $0.id == id }) else { throw .noSuchRule(id ?? 0) }
        entries.removeAll { id == nil || $0.id == id }
        waitingRoom.letGo { id == nil || $0.rule == id }
    }

    /// Lets what waits go on.
    ///
    /// - Parameter id: its own number; nil: all.
    /// - Returns: how many went on.
    /// - Throws: ``InjectionError`` when nothing with this number waits.
    public func letGo(_ id: Int?) throws(InjectionError) -> Int {
        let count = waitingRoom.letGo { id == nil || $0.id == id }
        if let id, count == 0 { throw .nothingWaits(id) }
        return count
    }

    // MARK: Alterer

    public func alteration(of passage: Passage, _ bytes: RawSpan) -> Alteration? {
        let event = Event(passage, bytes)
        guard let index = chosen(event, waits: false) else { return nil }
        tell(event, index)
        switch entries[index].rule.action {
        case .change(let change): return .change(change)
        case .corrupt: return .change(.turn(bit: entries[index].counter.anyBit()))
        case .refuse(let errno): return .refuse(errno)
        case .drop: return .drop
        case .again(let times): return .again(times: times)
        case .raise(let vector): raise(vector, for: entries[index].id)
        case .disconnect: host.entrance?.disconnect()
        case .delay, .hold: break
        }
        return nil
    }

    public func parking(
        of passage: Passage, _ bytes: RawSpan, since start: UInt64?, goOn: @escaping (_ isInTime: Bool) -> Void
    ) -> Parking? {
        let event = Event(passage, bytes)
        guard let index = chosen(event, waits: true) else { return nil }
        let entry = entries[index]
        let now = clock()
        let end = (start ?? now) &+ entry.limit
        var due = end
        if case .delay(let time) = entry.rule.action {
            due = event.isAccess ? min(end, now &+ time) : now &+ time
        }
        // What has waited long enough behind others, or finds the room full, passes.
        guard due > now else { return nil }
        let place = EventText(names, clock: 0).place(event)
        let parking = waitingRoom.enter(
            rule: entry.id, what: "\(event.kind.word) \(place)", until: due, latest: event.isAccess ? end : nil, goOn)
        if parking != nil { tell(event, index) }
        return parking
    }

    /// Sends the message of a vector when the device has done what it is about.
    private func raise(_ vector: Int, for rule: Int) {
        host.interrupts.raise(
            vector,
            afterWaiting: { goOn in
                waitingRoom.enter(rule: rule, what: "message vector \(vector)", until: clock(), latest: nil) { _ in
                    goOn()
                }
            })
    }

    /// The rule that acts on an event. All that it fits count it.
    private func chosen(_ event: Event, waits: Bool) -> Int? {
        var chosen: Int?
        for index in entries.indices
        where entries[index].rule.action.waits == waits && entries[index].rule.filter.matches(event, names) {
            if entries[index].counter.isDue(), chosen == nil { chosen = index }
        }
        return chosen
    }

    private func tell(_ event: Event, _ index: Int) {
        entries[index].altered &+= 1
        let (id, text) = (entries[index].id, entries[index].rule.text)
        host.tap?.note(.altered(rule: id))
        onAlteration("Rule \(id), '\(text)', has met \(event.kind.word) \(EventText(names, clock: 0).place(event)).")
    }
}

/// Why something can't be done with the rules of a function.
public enum InjectionError: Error, Equatable, CustomStringConvertible {
    case full
    case noSuchRule(Int)
    case nothingWaits(Int)
    /// A rule is about a register that the device doesn't have; and those that it has.
    case noSuchRegister(String, [String])
    /// Nobody is there whose accesses could wait, or whose connection could end.
    case cannotWait
    /// Of an access, in nanoseconds.
    case longerThanLimit(UInt64)

    public var description: String {
        switch self {
        case .full: "There are \(Injector.mostRules) rules already, and no more are allowed: clear some."
        case .noSuchRule(let id): "There is no rule \(id)."
        case .nothingWaits(let id): "Nothing waits that has the number \(id)."
        case .noSuchRegister(let name, let all):
            "The device has no register '\(name)'; it has \(all.joined(separator: ", "))."
        case .cannotWait:
            "The device has no vfio-user socket: an access to it can't wait, and no client be disconnected. "
                + "Interrupts and doorbells can wait."
        case .longerThanLimit(let limit):
            "An access may wait \(limit / 1_000_000) ms at most, before its client gives up: "
                + "make the delay shorter, or the limit longer."
        }
    }
}
