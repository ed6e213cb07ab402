import Device
import JSON
import Linux

/// What a device process lets one control socket ask and do; each of its functions has a socket and a delegate. All
/// calls come on that function's thread, between two messages of its client.
public protocol ControlDelegate: AnyObject {
    /// The function that the socket is about.
    var function: Function { get }
    var info: ControlInfo { get }
    /// Counters, as an object.
    var statistics: JSON { get }
    /// What happened. It outlives the control socket.
    var events: EventLog { get }
    /// Through which all consumers read pictures.
    var pictures: PictureReader { get }

    /// Ends the process soon, with all its functions. Called when the answer is on its way.
    func stop()
}

/// What becomes of a request.
enum ControlAnswer {
    case reply(ControlReply)
    /// There is nothing to answer until something happens.
    case later
    /// It is carried out in pieces: one each time it is called, until there is a reply.
    case inPieces(() throws -> ControlReply?)
}

extension ControlDelegate {
    /// What is answered to a request.
    ///
    /// - Parameter tracing: of the same function.
    /// - Throws: ``ControlError``, or what kept the process from doing it.
    func answer(_ request: ControlRequest, _ tracing: Tracing) throws -> ControlAnswer {
        switch request {
        case .info: return .reply(ControlReply(try JSON(encoding: info)))
        case .statistics: return .reply(ControlReply(statistics))
        case .stop: return .reply(ControlReply([:]))
        case .events(let after):
            guard let events = events.newer(than: after) else { return .later }
            return .reply(ControlReply(try JSON(encoding: events)))
        case .screenshot(let head):
            let reading = PictureReading(head, of: function, by: pictures)
            return .inPieces {
                try reading.next().map { ControlReply(try JSON(encoding: $0.picture), attachment: $0.pixels) }
            }
        case .modify(let changes): return .reply(try modify(changes))
        case .monitor(let monitor, let head): return .reply(try connect(monitor, to: head))
        case .trace: return .reply(try tracing.join(self))
        case .recorder: return .reply(try tracing.flightRecorder(of: self))
        case .record(let isLossless): return .reply(try tracing.record(self, isLossless: isLossless))
        case .endRecording:
            tracing.finishRecording()
            return .reply(ControlReply([:]))
        case .inject(let request): return .reply(try inject(request))
        case .save:
            let saving = StateSaving { [unowned self] in self.function }
            return .inPieces {
                try saving.next().map { state in
                    ControlReply(try JSON(encoding: SavedSize(size: state.size)), attachment: state.file)
                }
            }
        }
    }

    private func modify(_ changes: Quota) throws -> ControlReply {
        let before = function.limits?.quota
        let quota: Quota
        do throws(QuotaError) {
            quota = try function.apply(changes)
        } catch {
            throw ControlError(.quota, error.description)
        }
        if quota != before { events.append(.modified, "The quota is now \(quota.text).") }
        return ControlReply(try JSON(encoding: quota))
    }

    private func connect(_ monitor: Monitor?, to head: Int) throws(ControlError) -> ControlReply {
        do throws(MonitorError) {
            try function.connect(monitor, to: head)
        } catch {
            throw ControlError(.monitor, error.description)
        }
        let what = monitor.map { "a monitor of \($0.width)x\($0.height)" } ?? "no monitor"
        events.append(.modified, "Head \(head) now has \(what).")
        return ControlReply([:])
    }
}

extension Quota {
    /// In words.
    fileprivate var text: String {
        let limits = [
            videoMemory.map { "\($0) bytes of video memory" },
            frameRate.map { $0 == 0 ? "any number of pictures a second" : "\($0) pictures a second" },
        ]
        return limits.compactMap(\.self).joined(separator: " and ")
    }
}
