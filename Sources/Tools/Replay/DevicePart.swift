import Device
import DeviceCatalog
import GuestMemory
import Linux
import PCI
import Tap

/// Plays the device's part of a recording to a real client. The client's accesses, doorbells and resets must be the
/// recorded ones, in their order. It gets the recorded answers, and what the device did besides: interrupts, and writes
/// to guest memory. What the device read there must be there again.
///
/// Configuration space and the MSI-X table are the function's own work, whose answers are compared, too. When an access
/// came, by which way and how long it took is of no matter. What the device did by itself, such as an interrupt of a
/// timer's, it does as soon as all has come that came before.
public final class DevicePart {
    /// How many of the passages before a difference are kept.
    private static let kept = 10

    public let description: RecordingDescription
    /// What a server shows to the client.
    public let function: Function
    /// How many passages were played.
    public private(set) var passages: UInt64 = 0
    /// What the client has done else.
    public private(set) var divergence: Divergence?
    /// Why the recording can't be read on.
    public private(set) var failure: (any Error)?
    /// Called once, on the function's thread, when there is one of both: nothing is played any more.
    public var onEnd: () -> Void = {}

    /// Says what the device is like.
    private let original: Function
    private let queue: RecordQueue
    private let check: () throws -> Void
    private var before: [Record] = []

    /// - Parameters:
    ///   - loop: of the thread that serves the function.
    ///   - options: `KEY=VALUE` each, in the place of the recorded ones.
    ///   - check: called for each record that is read, and for each that is played: the device's turn may be as long as
    ///     a stranger has made it, and the loop does nothing else meanwhile. What it throws is the end, as a ``failure``.
    ///   - source: gives the recording's records, one after the other; nil at its end.
    /// - Throws: as ``Replay/init(options:_:)``, and what `check` throws.
    public init(
        _ loop: EventLoop, options: [String] = [], check: @escaping () throws -> Void,
        _ source: @escaping () throws -> Record?
    ) throws {
        self.check = check
        queue = RecordQueue {
            try check()
            return try source()
        }
        description = try queue.takeDescription()
        original = try Replay.make(description.type, description.options(with: options), Player(queue))
        queue.mostBytesOfState = UInt64(original.largestState)
        guard let snapshot = try queue.nextSnapshot() else { throw ReplayError.noState }
        guard snapshot.maps.isEmpty else {
            throw ReplayError(
                "When it began a client had mapped guest memory already. A device's part begins before its client comes."
            )
        }
        let device = PlayedDevice(original.device)
        function = try Function(device, host: Host(loop: loop))
        device.part = self
        function.host.tap = self
    }

    /// To be called at the end: until then it holds itself.
    public func close() { function.host.tap = nil }

    /// What of the recording was not come to: the first passage, or that something was lost there; nil when all is
    /// played. Nothing is done for it.
    ///
    /// - Throws: what the source throws.
    public func remaining() throws -> Record? {
        var distance = 0
        while let record = try queue.peek(distance) {
            if record.kind == .begin { return try queue.begunRead() ?? record }
            if record.isClients || record.isDevices || record.kind == .gap { return record }
            distance += 1
        }
        return nil
    }

    private var isOver: Bool { divergence != nil || failure != nil }

    /// What comes next, and of a read that begins, all of it; nil at the end. What can't be read is a failure.
    private func look(whole: Bool = false) -> Record? {
        do {
            let record = try queue.peek()
            return whole && record?.kind == .begin ? try queue.begunRead() ?? record : record
        } catch {
            fail(error)
            return nil
        }
    }

    // MARK: What the device does

    /// Does all that comes before the client's next turn.
    public func goOn() {
        while !isOver, let record = look(), !record.isClients, record.kind != .gap {
            do { try check() } catch { return fail(error) }
            queue.drop()
            do throws(DMAError) { try act(record) } catch {
                diverge(record, nil, "The device can't reach the client's memory as it did then: \(error).")
            }
        }
    }

    private func act(_ record: Record) throws(DMAError) {
        switch record.kind.event {
        case .message: function.host.interrupts.raise(Int(clamping: record.offset))
        case .pin: function.host.interrupts.setINTx(record.value != 0)
        case .memoryWrite: try function.host.memory.write(at: record.offset, from: record.bytes.span.bytes)
        case .memoryRead: try read(record)
        default: return
        }
        keep(record)
    }

    private func read(_ record: Record) throws(DMAError) {
        var actual = record
        actual.bytes = [UInt8](repeating: 0, count: record.bytes.count)
        var span = actual.bytes.mutableSpan
        var raw = span.mutableBytes
        try function.host.memory.read(at: record.offset, into: &raw)
        guard actual.bytes != record.bytes else { return }
        actual.value = Event(.memoryRead(address: record.offset), actual.bytes.span.bytes).value
        diverge(record, actual)
    }

    /// The recorded answer to a read of a register; all ones where another read was recorded, which the tap finds then.
    func answer(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 {
        beginRead()
        guard let record = look(), record.kind == .init(.read) else { return .max }
        // Configuration space may have a window to a BAR.
        guard record.region != RegionIndex.configuration else { return record.value }
        guard Int(record.region) == bar, offset >= record.offset,
            let start = Int(exactly: offset - record.offset), start <= record.bytes.count,
            width.rawValue <= record.bytes.count - start
        else { return .max }
        return record.bytes[start..<start + width.rawValue].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Does what the read has led to that the client makes now.
    private func beginRead() {
        guard !isOver, look()?.kind == .begin else { return }
        queue.drop()
        goOn()
    }

    // MARK: What the client does

    private func compare(_ actual: Record) {
        if actual.kind == .init(.read) { beginRead() }
        guard !isOver else { return }
        let expected = look(whole: true)
        guard !isOver else { return }
        if let expected, expected.isSame(as: actual) {
            queue.drop()
            keep(expected)
            return
        }
        var actual = actual
        (actual.number, actual.time) = (expected?.number ?? 0, expected?.time ?? 0)
        guard expected?.event == nil else { return diverge(expected, actual) }
        diverge(
            nil, actual,
            expected?.kind == .gap
                ? "What came here was lost when it was recorded, so nothing can be played any more."
                : "All that was recorded is played, and the client goes on.")
    }

    private func keep(_ record: Record) {
        passages += 1
        before.append(record)
        if before.count > Self.kept { before.removeFirst() }
    }

    private func diverge(_ expected: Record?, _ actual: Record?, _ reason: String? = nil) {
        guard !isOver else { return }
        divergence = Divergence(expected: expected, actual: actual, before: before, reason: reason)
        onEnd()
    }

    private func fail(_ error: any Error) {
        guard !isOver else { return }
        failure = error
        onEnd()
    }
}

extension DevicePart: Tap {
    public func note(_ passage: Passage, _ bytes: RawSpan) {
        switch passage {
        case .read, .write, .doorbell, .reset: compare(Record(passage, bytes))
        default: break
        }
    }

    public func accessBegins(isRead: Bool) { goOn() }
    public func accessEnds() { goOn() }
}

extension Record {
    /// Whether it is a client's turn.
    fileprivate var isClients: Bool {
        switch kind {
        case .begin, .init(.read), .init(.write), .init(.doorbell), .init(.reset): true
        default: false
        }
    }

    /// Whether it is something that the device does, and that a client notices.
    fileprivate var isDevices: Bool {
        switch kind.event {
        case .message, .pin, .memoryWrite, .memoryRead: true
        default: false
        }
    }
}
