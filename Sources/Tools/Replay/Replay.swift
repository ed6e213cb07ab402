import Device
import DeviceCatalog
import GuestMemory
import Linux
import PCI
import Tap

/// A recording, lived again by a fresh device: the recorded state, then the recorded inputs in their order and at their
/// recorded time, with no guest, no client and no waiting.
public final class Replay {
    /// What the recording says of its device.
    public let description: RecordingDescription
    /// That of now: after a gap there is another.
    public private(set) var function: Function
    private let options: [String]
    private let queue: RecordQueue
    private let player: Player

    /// - Parameters:
    ///   - options: `KEY=VALUE` each, in the place of the recorded ones.
    ///   - source: gives the recording's records, one after the other; nil at its end.
    /// - Throws: ``ReplayError`` when it is no recording that can be replayed; what `source` throws; what making the
    ///   device does.
    public init(options: [String] = [], _ source: @escaping () throws -> Record?) throws {
        queue = RecordQueue(source)
        description = try queue.takeDescription()
        self.options = description.options(with: options)
        player = Player(queue)
        // The description is what may be believed first; the device that it makes says how much a state can have.
        let made = try Self.make(description.type, self.options, player)
        queue.mostBytesOfState = UInt64(made.largestState)
        guard let snapshot = try queue.nextSnapshot() else { throw ReplayError.noState }
        function = made
        try Self.put(made, into: snapshot, player)
        player.isPreparing = false
    }

    static func make(_ type: String, _ options: [String], _ player: Player) throws -> Function {
        let host = Host(loop: try EventLoop(closesAtOnce: true), world: player)
        host.clock = { [unowned player] in player.nanoseconds() }
        return try Function(DeviceCatalog.make(type, options: options, host: host), host: host)
    }

    /// Puts a fresh device into a recorded state.
    private static func put(_ function: Function, into snapshot: Snapshot, _ player: Player) throws {
        let host = function.host
        player.routing = MessageRouting(number: snapshot.interrupts)
        player.connected = snapshot.connected
        if let limits = snapshot.limits {
            let quota = Quota(
                videoMemory: Int(clamping: limits.videoMemory), frameRate: Int(clamping: limits.frameRate))
            if quota != function.limits?.quota { try function.limits?.apply(quota) }
            function.updateMappedParts()
        }
        function.transport = player
        for map in snapshot.maps {
            try host.memory.map(address: map.address, size: map.size, access: map.access, backing: .remote(player))
        }
        function.device.kept = snapshot.kept
        for name in snapshot.connected {
            guard host.loop.play("\(name): arrival") else {
                throw ReplayError("There was somebody at the other end of '\(name)', which this device doesn't have.")
            }
        }
        let writer = StateWriter(function)
        try snapshot.forEachPiece { (bytes) throws(StateError) in try writer.write(bytes) }
        try writer.finish()
        host.tap = player
    }

    // MARK: Running

    /// Lives all of it, up to the end, the first difference, or a passage.
    ///
    /// - Parameters:
    ///   - last: the number of the first passage that isn't lived any more.
    ///   - progress: called now and then with the number of the next passage.
    /// - Throws: ``ReplayError``, or what the source throws, when the rest can't be read.
    public func run(until last: UInt64 = .max, progress: (UInt64) -> Void = { _ in }) throws -> ReplayOutcome {
        var steps = 0
        while !player.hasDiverged, !player.outcome.isComplete, let record = try queue.peek() {
            guard record.number < last || record.kind == .gap else { break }
            try step(record)
            steps += 1
            if steps % 4096 == 0 { progress(record.number) }
        }
        return player.outcome
    }

    private func step(_ record: Record) throws {
        switch record.kind {
        case .gap: try goOn(afterGap: true)
        case .begin:
            queue.drop()
            guard let read = try queue.begunRead() else { return try queue.dropToGap() }
            try live(.read, read)
        case .memory:
            queue.drop()
            put(record)
        case .picture:
            queue.drop()
            compare(record)
        case .end:
            queue.drop()
            player.outcome.isComplete = true
        default:
            guard !record.isSkipped, let kind = record.kind.event else { return queue.drop() }
            if kind == .event, MessageRouting(event: record.name) != nil { return player.takeRouting() }
            if kind == .restored { return try goOn(afterGap: false) }
            if kind == .event { return play(record) }
            try live(kind, record)
        }
    }

    /// Goes on from the next state that is complete.
    private func goOn(afterGap: Bool) throws {
        queue.drop()
        if afterGap { player.outcome.gaps += 1 }
        guard let snapshot = try queue.nextSnapshot() else {
            while try queue.peek() != nil { queue.drop() }
            return
        }
        player.isPreparing = true
        function = try Self.make(description.type, options, player)
        try Self.put(function, into: snapshot, player)
        player.isPreparing = false
    }

    /// Brings an input. What it leads to, and the input itself, is compared where the tap is told of it.
    private func live(_ kind: Event.Kind, _ record: Record) throws {
        let before = player.outcome.passages
        var reason: String?
        do {
            try bring(kind, record)
        } catch let error as ReplayError {
            throw error
        } catch {
            reason = "\(error)"
        }
        // The device did what no input has led to, or refused one.
        if player.outcome.passages == before, !player.hasDiverged { player.diverge(record, nil, reason) }
    }

    private func bring(_ kind: Event.Kind, _ record: Record) throws {
        let region = Int(record.region)
        switch kind {
        case .read:
            var bytes = [UInt8](repeating: 0, count: record.bytes.count)
            showMapped(record)
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            try function.read(region: region, offset: record.offset, into: &raw, by: record.way ?? .call)
        case .write:
            try function.write(
                region: region, offset: record.offset, from: record.bytes.span.bytes, by: record.way ?? .call)
        case .doorbell: ring(record)
        case .reset: function.reset()
        case .running: function.setRunning(record.value != 0)
        case .mapped:
            try function.host.memory.map(
                address: record.offset, size: record.count, access: [.read, .write], backing: .remote(player))
        case .unmapped:
            _ = try function.host.memory.unmap(address: record.offset, size: record.count, onRelease: {})
        case .unmappedAll: function.host.memory.unmapAll()
        case .pending where record.value == 0:
            // The transport has found a way for it, or its client has switched it off.
            function.host.interrupts.forget(Int(clamping: record.offset))
        case .quota: try function.apply(record.quota)
        case .monitor:
            let monitor = Monitor(width: Int(clamping: record.offset), height: Int(clamping: record.value))
            try function.connect(record.offset == 0 ? nil : monitor, to: region)
        default: break
        }
    }

    /// Those of the process, such as its sockets', are nothing to the device, and no part of what is compared. Where the
    /// device doesn't wait for its own any more, what it led to is missing.
    private func play(_ record: Record) {
        let events = EventLoop.Events(rawValue: UInt32(truncatingIfNeeded: record.value))
        if !function.host.loop.play(record.name, events) { queue.drop() }
    }

    /// What a guest has left by its own hand in memory that it has mapped is what is read there.
    private func showMapped(_ record: Record) {
        guard let region = function.region(Int(record.region)), let memory = region.memory, region.isWritable else {
            return
        }
        let end = record.offset &+ UInt64(record.bytes.count)
        for part in region.mapped where part.lowerBound < end && part.upperBound > record.offset {
            let (start, stop) = (max(part.lowerBound, record.offset), min(part.upperBound, end))
            let bytes = record.bytes.span.bytes
            memory.replace(
                at: Int(start), with: bytes.extracting(Int(start - record.offset)..<Int(stop - record.offset)))
        }
    }

    private func ring(_ record: Record) {
        let region = function.region(Int(record.region))
        guard let doorbell = region?.doorbells.first(where: { $0.offset == record.offset }) else { return }
        let bytes = record.bytes.span.bytes
        if doorbell.keepsValue, bytes.byteCount == 8 {
            region?.shadow?.publish(record.value, at: Int(doorbell.offset))
        }
        function.ring(doorbell, bar: Int(record.region), times: record.count)
    }

    // MARK: The end

    private func put(_ record: Record) {
        guard let region = function.region(Int(record.region)), region.isWritable, let memory = region.memory,
            let offset = Int(exactly: record.offset), let count = Int(exactly: record.count)
        else { return }
        if record.bytes.isEmpty {
            memory.clear(at: offset, count: count)
        } else {
            memory.replace(at: offset, with: record.bytes.span.bytes)
        }
    }

    private func compare(_ record: Record) {
        let heads = function.display?.heads ?? []
        let index = Int(record.region)
        let shown = index < heads.count ? try? heads[index].pixels() : nil
        guard let shown else {
            return player.diverge(record, nil, "Head \(index) shows nothing, and the recorded one shows a picture.")
        }
        guard UInt64(shown.width) == record.offset, UInt64(shown.height) == record.value else {
            return player.diverge(
                record, nil,
                "Head \(index) shows \(shown.width)x\(shown.height) pixels, and the recorded one "
                    + "\(record.offset)x\(record.value).")
        }
        let different = zip(0..., zip(shown.bytes, record.bytes)).first { $0.1.0 != $0.1.1 }?.0
        if shown.bytes.count == record.bytes.count, different == nil { return player.outcome.pictures += 1 }
        let pixel = (different ?? 0) / 4
        player.diverge(
            record, nil,
            "The picture of head \(index) is another from pixel \(pixel % shown.width), \(pixel / shown.width) on.")
    }

    /// The state that the device is in now, such as `mediated run --state` goes on from.
    public func state(_ take: (RawSpan) throws -> Void) throws {
        let reader = try StateReader(function)
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            let count = reader.read(into: &raw)
            guard count > 0 else { return }
            try take(bytes.span.bytes.extracting(first: count))
        }
    }
}

extension Record {
    /// What is 0 stays as it was, where something else isn't.
    fileprivate var quota: Quota {
        Quota(
            videoMemory: offset == 0 ? nil : Int(clamping: offset),
            frameRate: value == 0 && offset != 0 ? nil : Int(clamping: value))
    }
}
