import Control
import Device
import FakeGuest
import JSON
import Linux
import Programs
import Tap
import VFIOUserClient

/// A device that a driver uses by vfio-user while all that passes is recorded.
final class RecordedDevice {
    let device: ServedDevice
    let client: Client
    private let path: String
    private let recording: LiveRecording
    private let control: Control

    /// What the device's thread has; nobody else touches it.
    private final class Control: @unchecked Sendable, ControlDelegate {
        unowned let function: Function
        let info: ControlInfo
        let events = EventLog { _ in }
        let pictures = PictureReader()
        var statistics: JSON { [:] }
        var server: ControlServer?

        init(_ function: Function, _ info: ControlInfo) {
            (self.function, self.info) = (function, info)
        }

        func stop() {}
    }

    /// - Parameter prepare: what is done before anybody records.
    init(_ type: String, _ options: [String] = [], before prepare: (Client) throws -> Void = { _ in }) throws {
        device = try ServedDevice(type, options: options)
        client = try Client(path: device.path)
        let path = temporaryPath()
        self.path = path
        let info = ControlInfo(
            type: type, options: options, process: 1, socket: device.path, clientConnected: true, uptimeSeconds: 0)
        control = try device.onThread { function, _ in
            Result {
                let control = Control(function, info)
                control.server = try ControlServer(
                    UnixListener(path: path), loop: function.host.loop, delegate: control)
                return control
            }
        }.get()
        try prepare(client)
        recording = try ControlClient(connectingTo: path).record(isLossless: true)
    }

    /// Has a rule alter what passes.
    func add(rule: String) throws {
        _ = try ControlClient(connectingTo: path).inject(.add(rule: rule, limit: nil))
    }

    /// Ends the recording, and gives all of it.
    func finish() throws -> [Record] {
        try recording.end()
        var records: [Record] = []
        let end = Deadline(after: .seconds(20))
        while records.last?.kind != .end, !end.hasPassed {
            guard let bytes = try recording.next(within: .seconds(1)) else { continue }
            records.append(try Record(decoding: bytes.span.bytes))
        }
        device.onThread { [control] _, _ in control.server = nil }
        return records
    }
}
