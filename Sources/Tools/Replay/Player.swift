import Device
import GuestMemory
import Linux
import PCI
import Tap

/// Plays the world's part for a function from a recording, and compares what the function does.
///
/// Inputs, such as accesses, are brought in their order. While one is carried out, the device gets the recorded answers:
/// the clock, random numbers, guest memory, what it looks at, what comes over a line. All that it does is compared with
/// what comes next.
final class Player {
    /// How many of the passages before a difference are kept.
    private static let kept = 10

    let queue: RecordQueue
    var outcome = ReplayOutcome()
    private var before: [Record] = []
    /// The last time that was told, in nanoseconds.
    private var lastTime: UInt64 = 0
    /// What is done now is no part of the recording: nothing is compared.
    var isPreparing = true
    var routing = MessageRouting.byVector(nil)
    /// The lines where somebody was when the state was taken.
    var connected: [String] = []

    init(_ queue: RecordQueue) {
        self.queue = queue
    }

    var hasDiverged: Bool { outcome.divergence != nil }

    func diverge(_ expected: Record?, _ actual: Record?, _ reason: String? = nil) {
        guard outcome.divergence == nil else { return }
        outcome.divergence = Divergence(expected: expected, actual: actual, before: before, reason: reason)
    }

    /// The next passage that is compared.
    func expected() -> Record? {
        guard !isPreparing else { return nil }
        do {
            while let record = try queue.peek() {
                if record.kind == .init(.event), let told = MessageRouting(event: record.name) {
                    routing = told
                    queue.drop()
                    outcome.passages += 1
                    continue
                }
                if record.isCompared { return record }
                // Who wants them looks at them before.
                guard record.isSkipped else { return record }
                queue.drop()
            }
        } catch {
            diverge(nil, nil, "\(error)")
        }
        return nil
    }

    /// Takes in that messages go another way from now on.
    func takeRouting() { _ = expected() }

    /// The next passage, if it is of a kind.
    private func next(_ kind: Event.Kind) -> Record? {
        guard let record = expected(), record.kind.event == kind else { return nil }
        return record
    }
}

extension Record {
    /// What neither goes into a device nor comes out of it.
    var isSkipped: Bool {
        guard let event = kind.event else { return !Self.known.contains(kind) }
        return !Self.compared.contains(event)
    }

    var isCompared: Bool { kind.event.map(Self.compared.contains) ?? false }

    /// What the player does something with.
    private static let known: Set<Kind> = [.begin, .gap, .memory, .picture, .end]

    /// All others are annotations.
    private static let compared: Set<Event.Kind> = [
        .read, .write, .doorbell, .memoryRead, .memoryWrite, .memoryFault, .message, .pin, .look, .reset, .running,
        .restored, .mapped, .unmapped, .unmappedAll, .quota, .monitor, .connected, .disconnected, .received, .sent,
        .event, .clock, .random, .pending,
    ]

    /// Whether it is the same passage, whenever it was and however long it took.
    func isSame(as other: Record) -> Bool {
        kind == other.kind && region == other.region && offset == other.offset && count == other.count
            && value == other.value && name == other.name && bytes == other.bytes
    }
}

// MARK: Tap

extension Player: Tap {
    func note(_ passage: Passage, _ bytes: RawSpan) {
        guard !isPreparing, !hasDiverged else { return }
        var actual = Record(passage, bytes)
        guard actual.isCompared, MessageRouting(event: actual.name) == nil else { return }
        let expected = expected()
        // What comes now was lost, or is cut off.
        if expected == nil || expected?.kind == .gap { return }
        actual.number = expected?.number ?? 0
        actual.time = expected?.time ?? 0
        guard let expected, expected.isSame(as: actual) else { return diverge(expected, actual) }
        queue.drop()
        outcome.passages += 1
        fingerprint(actual)
        before.append(expected)
        if before.count > Self.kept { before.removeFirst() }
    }

    /// FNV-1a, 64 bits.
    private func fingerprint(_ record: Record) {
        var hash = outcome.fingerprint
        func mix(_ number: UInt64) { hash = (hash ^ number) &* 0x0000_0100_0000_01b3 }
        mix(UInt64(record.kind.rawValue))
        for number in [record.offset, record.count, record.value] { mix(number) }
        for byte in record.bytes { mix(UInt64(byte)) }
        outcome.fingerprint = hash
    }
}

// MARK: World

extension Player: World {
    func nanoseconds() -> UInt64 {
        if let record = next(.clock) { lastTime = record.value }
        return lastTime
    }

    func fill(_ bytes: inout MutableRawSpan) {
        let recorded = next(.random)?.bytes ?? []
        bytes.clear(0..<bytes.byteCount)
        bytes.copy(recorded.span.bytes.extracting(first: min(recorded.count, bytes.byteCount)), to: 0)
    }

    func willLook(at memory: MappedBytes, from offset: Int, count: Int) {
        guard let record = next(.look), record.offset == UInt64(clamping: offset), record.bytes.count == count else {
            return
        }
        memory.replace(at: offset, with: record.bytes.span.bytes)
    }

    func isThereSomebody(at name: String) -> Bool {
        if isPreparing { return connected.contains(name) }
        return next(.connected)?.name == name
    }

    func receive(from name: String, into bytes: inout MutableRawSpan, limit: Int) -> ByteStream.Transfer {
        guard let record = expected(), record.name == name else { return .blocked }
        if record.kind.event == .disconnected { return .ended }
        guard record.kind.event == .received, record.bytes.count <= min(limit, bytes.byteCount) else { return .blocked }
        bytes.copy(record.bytes.span.bytes, to: 0)
        return .bytes(record.bytes.count)
    }

    func send(_ bytes: RawSpan, to name: String) -> ByteStream.Transfer {
        guard let record = next(.sent), record.name == name else { return .blocked }
        // An end is told of as nothing that was sent.
        return record.count == 0 ? .ended : .bytes(min(Int(clamping: record.count), bytes.byteCount))
    }
}

// MARK: Guest memory

extension Player: RemoteMemory {
    func read(_ address: UInt64, into target: inout MutableRawSpan) throws(DMAError) {
        target.clear(0..<target.byteCount)
        guard let record = expected() else { return }
        try fail(address, target.byteCount, record)
        guard record.kind.event == .memoryRead, address >= record.offset,
            let start = Int(exactly: address - record.offset), start <= record.bytes.count,
            target.byteCount <= record.bytes.count - start
        else { return }
        target.copy(record.bytes.span.bytes.extracting(start..<start + target.byteCount), to: 0)
    }

    func write(_ address: UInt64, from bytes: RawSpan) throws(DMAError) {
        guard let record = expected() else { return }
        try fail(address, bytes.byteCount, record)
    }

    private func fail(_ address: UInt64, _ count: Int, _ record: Record) throws(DMAError) {
        guard record.kind.event == .memoryFault, record.offset >= address, record.offset - address < UInt64(count)
        else { return }
        throw .fault(address: record.offset)
    }
}

// MARK: Transport

extension Player: Transport {
    var messageRouting: MessageRouting {
        takeRouting()
        return routing
    }

    /// What was just asked for goes out, unless it was recorded that it waits. What waits goes on waiting, unless it was
    /// recorded that it went out.
    func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool {
        guard !isPreparing else { return false }
        if let record = next(.pending), record.offset == UInt64(vector) { return record.value == 0 }
        return before.last.map { $0.kind == .init(.message) && $0.offset == UInt64(vector) } ?? false
    }

    func setINTx(_ asserted: Bool) {}
}
