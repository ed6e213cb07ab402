import Tap

/// What many events say together: which registers are hot, how long accesses and requests take, how much DMA and how
/// many interrupts there are.
public struct EventSummary: Sendable {
    private let names: RegisterNames
    private var kinds: [Event.Kind: UInt64] = [:]
    private var accesses: [Access: Times] = [:]
    private var transfers: [Event.Kind: [Int: UInt64]] = [:]
    /// By the number of the vector.
    private var interrupts: [UInt64: UInt64] = [:]
    private var requests = RequestTimes()
    private var first: UInt64?
    private var last: UInt64 = 0
    /// How many were missed.
    public private(set) var missed: UInt64 = 0

    /// The most registers that are kept apart: a guest can touch any number of places.
    private static let maximumAccesses = 4096
    private static let maximumVectors = 2048

    private struct Access: Hashable {
        let kind: Event.Kind
        let region: UInt8
        let offset: UInt64
    }

    /// How often, and how long by powers of two of nanoseconds.
    struct Times: Sendable {
        var count: UInt64 = 0
        var byExponent = [UInt64](repeating: 0, count: 33)

        mutating func add(_ nanoseconds: UInt64?) {
            count += 1
            if let nanoseconds { byExponent[EventSummary.exponent(nanoseconds)] += 1 }
        }

        /// The time that so much of all accesses don't exceed, in nanoseconds.
        func percentile(_ part: Double) -> UInt64? {
            let timed = byExponent.reduce(0, +)
            guard timed > 0 else { return nil }
            var left = UInt64((Double(timed) * part).rounded(.up))
            for (exponent, count) in byExponent.enumerated() {
                if count >= left { return 1 << UInt64(exponent) }
                left -= count
            }
            return nil
        }
    }

    /// - Parameter names: of the device's registers.
    public init(_ names: RegisterNames) {
        self.names = names
    }

    public mutating func add(_ event: Event) {
        first = first ?? event.time
        last = max(last, event.time)
        kinds[event.kind, default: 0] += 1
        switch event.kind {
        case .read, .write: addAccess(event)
        case .message where interrupts[event.offset] != nil || interrupts.count < Self.maximumVectors:
            interrupts[event.offset, default: 0] += 1
        case .request, .completion: requests.add(event, names)
        case .memoryRead, .memoryWrite:
            transfers[event.kind, default: [:]][Self.exponent(event.count), default: 0] += 1
        default: break
        }
    }

    /// So many events were missed here.
    public mutating func miss(_ count: UInt64) {
        missed &+= count
        requests.miss()
    }

    private mutating func addAccess(_ event: Event) {
        let access = Access(kind: event.kind, region: event.region, offset: event.offset)
        guard accesses[access] != nil || accesses.count < Self.maximumAccesses else { return }
        accesses[access, default: Times()].add(event.latency.map(UInt64.init))
    }

    /// Of the least power of two that isn't less.
    static func exponent(_ number: UInt64) -> Int {
        number <= 1 ? 0 : min(32, UInt64.bitWidth - (number - 1).leadingZeroBitCount)
    }

    // MARK: Text

    /// Paragraphs of lines.
    ///
    /// - Parameter limit: how many registers there are at most.
    public func text(registers limit: Int = 20) -> [[String]] {
        let seconds = max(Double(last - (first ?? last)) / 1e9, 1e-9)
        let all = kinds.values.reduce(0, +)
        var head = [
            "\(all) events in \(Self.decimal(seconds)) s\(missed > 0 ? ", and \(missed) that were missed" : "")"
        ]
        for kind in Event.Kind.allCases {
            guard let count = kinds[kind] else { continue }
            let rate = last == first ? "" : "\(Self.decimal(Double(count) / seconds))/s"
            head.append("  \(EventText.padded(kind.word, 14))\(EventText.padded("\(count)", 12))\(rate)")
        }
        return [head, registers(limit), requestRows, dma, interruptRows(seconds)].filter { !$0.isEmpty }
    }

    private func registers(_ limit: Int) -> [String] {
        guard !accesses.isEmpty else { return [] }
        let heading = row("ACCESS", "COUNT", "HALF IN", "99 % IN")
        // Those that are as hot stand in the order of their places.
        let hot = accesses.sorted {
            ($1.value.count, $0.key.region, $0.key.offset, $0.key.kind.rawValue)
                < ($0.value.count, $1.key.region, $1.key.offset, $1.key.kind.rawValue)
        }
        return [heading]
            + hot.prefix(limit).map { access, times in
                var event = Event(access.kind)
                (event.region, event.offset) = (access.region, access.offset)
                let place = "\(access.kind.word) \(EventText(names, clock: 0).place(event))"
                return row(place, times)
            }
    }

    private func row(_ place: String, _ count: String, _ half: String, _ most: String) -> String {
        "\(EventText.padded(place, 48))\(EventText.padded(count, 12))\(EventText.padded(half, 12))\(most)"
    }

    private var requestRows: [String] {
        let rows = requests.sorted.map { name, times in row(name, times) }
        return rows.isEmpty ? [] : [row("REQUEST", "COUNT", "HALF IN", "99 % IN")] + rows
    }

    private func row(_ place: String, _ times: Times) -> String {
        func time(_ part: Double) -> String { times.percentile(part).map(EventText.duration) ?? "" }
        return row(place, "\(times.count)", time(0.5), time(0.99))
    }

    private func interruptRows(_ seconds: Double) -> [String] {
        let rows = interrupts.sorted { $0.key < $1.key }.map { vector, count in
            row("vector \(vector)", "\(count)", "\(Self.decimal(Double(count) / seconds))/s", "")
        }
        return rows.isEmpty ? [] : [row("INTERRUPT", "COUNT", "RATE", "")] + rows
    }

    private var dma: [String] {
        let rows = [Event.Kind.memoryRead, .memoryWrite].flatMap { kind in
            (transfers[kind] ?? [:]).sorted { $0.key < $1.key }.map { exponent, count in
                row("\(kind.word), up to \(1 << exponent) bytes", "\(count)", "", "")
            }
        }
        return rows.isEmpty ? [] : [row("DMA", "COUNT", "", "")] + rows
    }

    private static func decimal(_ number: Double) -> String {
        let tenths = (number * 10).rounded() / 10
        return tenths >= 100 ? "\(Int(min(tenths, 1e18)))" : "\(tenths)"
    }
}
