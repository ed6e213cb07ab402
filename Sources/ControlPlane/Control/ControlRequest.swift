import Device
import JSON

/// What can be asked of a device process.
public enum ControlRequest: Equatable, Sendable {
    /// Who is there: a ``ControlInfo``.
    case info
    /// What a head shows now: a picture, with its pixels as a descriptor.
    case screenshot(head: Int)
    /// The process's counters, as a JSON object.
    case statistics
    /// The events behind a number: ``ControlEvents``. Answered when there is one.
    case events(after: Int)
    /// Another quota for the device, where it isn't nil: the `Quota` then in force.
    case modify(Quota)
    /// A monitor for a head, or none.
    case monitor(Monitor?, head: Int)
    /// All that passes the device's doors, as a descriptor of a memory that an `EventReader` reads: from now on, until
    /// the connection is closed.
    case trace
    /// What the flight recorder has kept, as a descriptor of its memory, which outlives the process.
    case recorder
    /// All that passes the device's doors, with all its bytes and what is needed to make the device anew, as the three
    /// descriptors of a `RecordStreamReader`: from now on, until the connection is closed. Lossless: the device waits
    /// for whoever reads, for a bounded time.
    case record(isLossless: Bool)
    /// Has the recording of the same connection end in good order. Answered at once; its last record is `end`.
    case endRecording
    /// Rules that alter what passes the device's doors: an `InjectionReport`, also after a change.
    case inject(InjectionRequest)
    /// The device's state, as a descriptor.
    case save
    /// The end of the process, in order. Answered before it ends.
    case stop

    /// The version of the protocol. Each request and each reply names it.
    public static let version = 1

    /// Reads the request from one line.
    ///
    /// - Throws: ``ControlError`` for the client: what is wrong with the line.
    public init(line: [UInt8]) throws(ControlError) {
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: line)
        } catch {
            throw ControlError(.malformed, "The request is not JSON: \(error).")
        }
        guard let members = json.object else {
            throw ControlError(
                .malformed, "The request must be an object such as {\"version\":1,\"request\":\"info\"}.")
        }
        guard members["version"]?.int == Self.version else {
            let version = members["version"]?.text ?? "none"
            throw ControlError(
                .version, "The request's version is \(version); this process speaks version \(Self.version).")
        }
        switch members["request"] {
        case "info": self = .info
        case "screenshot":
            guard let head = (members["head"] ?? 0).int, head >= 0 else {
                throw ControlError(.malformed, "'head' must be a number from 0.")
            }
            self = .screenshot(head: head)
        case "statistics": self = .statistics
        case "events":
            guard let after = (members["after"] ?? 0).int, after >= 0 else {
                throw ControlError(.malformed, "'after' must be the number of an event, or 0.")
            }
            self = .events(after: after)
        case "modify": self = .modify(try Self.quota(members))
        case "monitor": self = try Self.monitor(members)
        case "trace": self = .trace
        case "recorder": self = .recorder
        case "record":
            guard let isLossless = (members["lossless"] ?? false).bool else {
                throw ControlError(.malformed, "'lossless' must be true or false.")
            }
            self = .record(isLossless: isLossless)
        case "end-recording": self = .endRecording
        case "inject": self = .inject(try InjectionRequest(members))
        case "save": self = .save
        case "stop": self = .stop
        case let other:
            throw ControlError(
                .unknownRequest,
                "The request is \(other?.text ?? "missing"); "
                    + "it must be info, screenshot, statistics, events, modify, monitor, trace, recorder, record, "
                    + "end-recording, inject, save or stop."
            )
        }
    }

    private static func quota(_ members: JSON.Object) throws(ControlError) -> Quota {
        func limit(_ name: String) throws(ControlError) -> Int? {
            guard let value = members[name] else { return nil }
            guard let limit = value.int, limit >= 0 else {
                throw ControlError(.malformed, "'\(name)' must be a number from 0.")
            }
            return limit
        }
        let quota = Quota(videoMemory: try limit("vram"), frameRate: try limit("frameRate"))
        guard quota != Quota() else {
            throw ControlError(.malformed, "'modify' needs 'vram', in bytes, or 'frameRate', in pictures a second.")
        }
        return quota
    }

    private static func monitor(_ members: JSON.Object) throws(ControlError) -> ControlRequest {
        guard let head = members["head"]?.int, head >= 0 else {
            throw ControlError(.malformed, "'head' must be a number from 0.")
        }
        switch (members["width"], members["height"]) {
        case (nil, nil): return .monitor(nil, head: head)
        case (let width?, let height?):
            guard let width = width.int, let height = height.int else { fallthrough }
            return .monitor(Monitor(width: width, height: height), head: head)
        default:
            throw ControlError(.malformed, "'monitor' needs 'width' and 'height', in pixels, or neither.")
        }
    }

    /// The request's line, without its end.
    var json: JSON {
        let version = JSON(Self.version)
        return switch self {
        case .info: ["version": version, "request": "info"]
        case .screenshot(let head): ["version": version, "request": "screenshot", "head": JSON(head)]
        case .statistics: ["version": version, "request": "statistics"]
        case .events(let after): ["version": version, "request": "events", "after": JSON(after)]
        case .modify(let quota):
            .object(
                JSON.Object(
                    [
                        ("version", version), ("request", "modify"), quota.videoMemory.map { ("vram", JSON($0)) },
                        quota.frameRate.map { ("frameRate", JSON($0)) },
                    ].compactMap(\.self)))
        case .monitor(let monitor?, let head):
            [
                "version": version, "request": "monitor", "head": JSON(head), "width": JSON(monitor.width),
                "height": JSON(monitor.height),
            ]
        case .monitor(nil, let head): ["version": version, "request": "monitor", "head": JSON(head)]
        case .trace: ["version": version, "request": "trace"]
        case .recorder: ["version": version, "request": "recorder"]
        case .record(let isLossless):
            ["version": version, "request": "record", "lossless": .bool(isLossless)]
        case .endRecording: ["version": version, "request": "end-recording"]
        case .inject(let injection):
            .object(JSON.Object([("version", version), ("request", "inject")] + injection.members))
        case .save: ["version": version, "request": "save"]
        case .stop: ["version": version, "request": "stop"]
        }
    }
}

/// Why a device process didn't do what was asked.
public struct ControlError: Error, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// The line is no request.
        case malformed
        /// The request's version is not the process's.
        case version
        /// The process knows no such request.
        case unknownRequest = "unknown-request"
        /// The device has no such head.
        case noSuchHead = "no-such-head"
        /// The head is off, or the guest has set a mode that makes no picture.
        case nothingShown = "nothing-shown"
        /// The device can't have such a quota.
        case quota
        /// The device can't have such a monitor there.
        case monitor
        /// A rule can't be understood, or can't be followed there, or is not there.
        case rule
        /// The process keeps no events.
        case notRecording = "not-recording"
        /// The process tried and couldn't.
        case failed
    }

    public var code: Code
    /// A sentence for the user.
    public var description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
