import Device
import JSON
import Linux
import Tap

/// Who watches what passes a function's doors: a flight recorder, those who trace, one who records. Where there is no
/// flight recorder, nothing is there while nobody watches: each passage costs one comparison then.
final class Tracing {
    /// What is told to whoever begins to watch.
    struct Beginning: Codable {
        var type: String
        var mapped: [MappedPart]
        /// The bytes of configuration space, in hexadecimal. nil: from a process of an earlier version.
        var configuration: String?
    }

    /// Whoever saw what passes before anybody asked for it here: the flight recorder, if anybody.
    private var first: (any Tap)?
    private var recorder: EventRecorder?
    private var recording: Recording?
    /// Called when a recording has ended by itself.
    var onRecordingEnd: (_ isOrderly: Bool) -> Void = { _ in }

    private var isIdle: Bool { recorder == nil && recording == nil }

    /// Has those see what passes who want to.
    private func join(_ host: Host) {
        let taps: [(any Tap)?] = [first, recorder === first ? nil : recorder, recording?.stream]
        let present = taps.compactMap(\.self)
        host.tap = present.count > 1 ? JoinedTaps(present) : present.first
    }

    private func take(_ host: Host) {
        if isIdle { first = host.tap }
    }

    /// Begins to record events, unless that has begun.
    ///
    /// - Returns: what is told to whoever wants to watch.
    /// - Throws: `Errno` when there is no memory.
    func join(_ delegate: any ControlDelegate) throws -> ControlReply {
        let host = delegate.function.host
        if recorder == nil {
            take(host)
            recorder = try first as? EventRecorder ?? EventRecorder()
            recorder?.seesAll = true
            join(host)
        }
        let beginning = Beginning(
            type: delegate.info.type, mapped: delegate.function.mappedParts,
            configuration: delegate.function.configurationText)
        return ControlReply(try JSON(encoding: beginning), attachment: recorder?.file)
    }

    /// The memory of the recorder that is there without anybody who watches.
    ///
    /// - Throws: ``ControlError`` when there is none.
    func flightRecorder(of delegate: any ControlDelegate) throws(ControlError) -> ControlReply {
        guard let flightRecorder = (isIdle ? delegate.function.host.tap : first) as? EventRecorder else {
            throw ControlError(
                .notRecording, "The device process keeps no events: it was told not to, or is of an earlier version.")
        }
        return ControlReply([:], attachment: flightRecorder.file)
    }

    /// Nobody watches any more.
    func end(_ delegate: any ControlDelegate) {
        guard let recorder else { return }
        self.recorder = nil
        recorder.seesAll = false
        join(delegate.function.host)
    }

    // MARK: Recording

    /// Begins to record passages with all their bytes.
    ///
    /// - Returns: what is told to whoever wants to.
    /// - Throws: ``ControlError`` when somebody does already; `Errno` when there is no memory.
    func record(_ delegate: any ControlDelegate, isLossless: Bool) throws -> ControlReply {
        guard recording == nil else {
            throw ControlError(.failed, "Somebody records the device already. Try again when they have ended.")
        }
        let host = delegate.function.host
        take(host)
        let recording = try Recording(of: delegate, isLossless: isLossless) {
            [unowned self, unowned delegate] isOrderly in
            endRecording(delegate)
            onRecordingEnd(isOrderly)
        }
        self.recording = recording
        join(host)
        recording.begin()
        let beginning = Beginning(type: delegate.info.type, mapped: delegate.function.mappedParts)
        return ControlReply(
            try JSON(encoding: beginning), attachment: recording.stream.ring.file,
            bells: [recording.stream.readerBell.event, recording.stream.writerBell.event])
    }

    /// Has the recording end in good order.
    func finishRecording() {
        recording?.end()
    }

    /// Nobody records any more.
    func endRecording(_ delegate: any ControlDelegate) {
        guard recording != nil else { return }
        recording = nil
        join(delegate.function.host)
    }
}

/// A part of a BAR that a guest may have mapped: what it reads and writes there passes nobody.
public struct MappedPart: Codable, Equatable, Sendable {
    public var bar: Int
    /// In bytes from the beginning of the BAR.
    public var start: UInt64
    /// Behind the last byte.
    public var end: UInt64
}

extension Function {
    /// What configuration space shows now.
    var configurationBytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: configuration.size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        configuration.read(at: 0, into: &raw)
        return bytes
    }

    fileprivate var configurationText: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: configurationBytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    fileprivate var mappedParts: [MappedPart] {
        (0..<6).flatMap { bar in
            (region(bar)?.mapped ?? []).map { MappedPart(bar: bar, start: $0.lowerBound, end: $0.upperBound) }
        }
    }
}

extension EventRecorder {
    /// The event that a device process notes last, when it ends in good order.
    public static var orderlyEnd: String { "end of service" }
}
