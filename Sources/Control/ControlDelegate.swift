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
        case .save:
            let state = try savedState()
            let file = try MemoryFile(name: "state", size: state.count)
            file.replace(at: 0, with: state.span.bytes)
            return ControlReply(try JSON(encoding: SavedSize(size: state.count)), attachment: file)
        }
    }

    private func screenshot(of head: Int) throws -> ControlReply {
        let heads = function.device.framebuffers
        guard head < heads.count else {
            let count = heads.isEmpty ? "none" : heads.count == 1 ? "one" : "\(heads.count)"
            throw ControlError(.noSuchHead, "The device has no head \(head): it has \(count).")
        }
        guard let scanout = heads[head].scanout else {
            throw ControlError(.nothingShown, "Head \(head) shows nothing: it is off, or in no valid mode.")
        }
        let (picture, pixels) = try scanout.snapshot()
        return ControlReply(try JSON(encoding: picture), attachment: pixels)
    }

    private func savedState() throws -> [UInt8] {
        let reader = try StateReader(function)
        var state: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            var span = piece.mutableSpan
            var bytes = span.mutableBytes
            let count = reader.read(into: &bytes)
            state += piece[..<count]
            if count < piece.count { return state }
        }
    }
}
