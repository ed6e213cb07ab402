import Device
import JSON
import Linux
import Tap

/// Who watches what passes a function's doors. Where there is no flight recorder, the recorder is there as long as
/// somebody watches: otherwise each passage costs one comparison.
final class Tracing {
    /// What is told to whoever begins to watch.
    struct Beginning: Codable {
        var type: String
        var mapped: [MappedPart]
    }

    private var recorder: EventRecorder?
    /// Whether it goes with the last who watches.
    private var isPassing = false

    /// Begins to record, unless it has begun.
    ///
    /// - Returns: what is told to whoever wants to watch.
    /// - Throws: ``ControlError`` when another tap is there; `Errno` when there is no memory.
    func join(_ delegate: any ControlDelegate) throws -> ControlReply {
        let host = delegate.function.host
        if recorder == nil {
            let flightRecorder = host.tap as? EventRecorder
            guard host.tap == nil || flightRecorder != nil else {
                throw ControlError(.failed, "Another tap than the control socket's sees what passes.")
            }
            isPassing = flightRecorder == nil
            recorder = try flightRecorder ?? EventRecorder()
            recorder?.seesAll = true
            host.tap = recorder
        }
        let beginning = Beginning(type: delegate.info.type, mapped: delegate.function.mappedParts)
        return ControlReply(try JSON(encoding: beginning), attachment: recorder?.file)
    }

    /// The memory of the recorder that is there without anybody who watches.
    ///
    /// - Throws: ``ControlError`` when there is none.
    func flightRecorder(of delegate: any ControlDelegate) throws(ControlError) -> ControlReply {
        guard let flightRecorder = delegate.function.host.tap as? EventRecorder, !isPassing else {
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
        if isPassing { delegate.function.host.tap = nil }
        isPassing = false
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
    fileprivate var mappedParts: [MappedPart] {
        (0..<6).flatMap { bar in
            (region(bar)?.mapped ?? []).map { MappedPart(bar: bar, start: $0.lowerBound, end: $0.upperBound) }
        }
    }
}
