import Device
import JSON
import Linux

/// What a device process lets its control socket ask and do. All calls come on the device's thread, between two
/// messages of its client.
public protocol ControlDelegate: AnyObject {
    /// The function that the process serves.
    var function: Function { get }
    var info: ControlInfo { get }
    /// Counters, as an object.
    var statistics: JSON { get }

    /// Ends the process soon. Called when the answer is on its way.
    func stop()
}

extension ControlDelegate {
    /// What is answered to a request.
    ///
    /// - Throws: ``ControlError``, or what kept the process from doing it.
    func answer(_ request: ControlRequest) throws -> ControlReply {
        switch request {
        case .info: return ControlReply(try JSON(encoding: info))
        case .statistics: return ControlReply(statistics)
        case .stop: return ControlReply([:])
        case .screenshot(let head): return try screenshot(of: head)
        case .save: return try save()
        }
    }

    private func screenshot(of head: Int) throws -> ControlReply {
        let heads = function.device.framebuffers
        guard head < heads.count else {
            let count = heads.isEmpty ? "none" : heads.count == 1 ? "one" : "\(heads.count)"
            throw ControlError(.noSuchHead, "The device has no head \(head): it has \(count).")
        }
        guard var scanout = heads[head].scanout else {
            throw ControlError(.nothingShown, "Head \(head) shows nothing: it is off, or in no valid mode.")
        }
        if let cursor = heads[head].cursor { scanout = try scanout.drawing(cursor) }
        let (picture, pixels) = try scanout.snapshot()
        return ControlReply(try JSON(encoding: picture), attachment: pixels)
    }

    private func save() throws -> ControlReply {
        let reader = try StateReader(function)
        let file = try MemoryFile(name: "state", size: reader.size)
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        var end = 0
        while end < reader.size {
            var span = piece.mutableSpan
            var bytes = span.mutableBytes
            let count = reader.read(into: &bytes)
            file.replace(at: end, with: piece.span.bytes.extracting(first: count))
            end += count
        }
        return ControlReply(try JSON(encoding: SavedSize(size: end)), attachment: file)
    }
}
