import Control
import Device
import Glibc
import Linux
import Tap

/// One function of the process: its device, its server, and a control socket of its own, by which it is told from the
/// others. One thread.
final class ServedFunction: ControlDelegate {
    let events: EventLog
    let pictures = PictureReader()
    let server: any FunctionServer
    private let arguments: DeviceArguments.Function
    private let bell: EventFD
    private let stopSignal: StopSignal
    private let started = SystemClock.nanoseconds
    private var control: ControlServer?

    /// Goes on from a saved state, where there is one, and makes the sockets. Nobody is served yet.
    ///
    /// - Parameters:
    ///   - made: the device.
    ///   - index: which function of those in `process`.
    init(_ made: MadeFunction, _ index: Int, of process: DeviceArguments, stopSignal: StopSignal) throws {
        let arguments = process.functions[index]
        let (function, place) = (made.function, made.place)
        if let state = arguments.state { try function.restore(state) { place.slot?.isKept($0) ?? false } }
        // Lines of several functions are told apart.
        let name = arguments.name ?? (process.functions.count > 1 ? arguments.place.description : nil)
        let events = EventLog { DeviceProcess.say($0, of: name) }
        function.host.report = { events.append(.device, $0) }
        switch place {
        case .socket(let path): server = try makeServer(of: function, at: path, arguments, process, events: events)
        case .slot(let place, let slot):
            server = try slot.makeServer(of: function, at: place, stays: process.stays, events: events)
        }
        if process.isRecording {
            let recorder = try EventRecorder()
            recorder.seesAll = false
            function.host.tap = recorder
        }
        self.events = events
        self.arguments = arguments
        self.stopSignal = stopSignal
        bell = stopSignal.bells[index]
        let listener = try UnixListener.make(
            at: arguments.control, mode: process.mode, or: arguments.controlDescriptor, .controlDescriptor)
        control = try ControlServer(listener, loop: function.host.loop, delegate: self)
    }

    var loop: EventLoop { function.host.loop }

    /// Serves on the calling thread until the process is to stop.
    func run() throws(Errno) {
        let loop = loop
        let token = try loop.watch("stop", bell.descriptor, for: .readable) { [unowned self] _ in
            bell.consume()
            server.stop()
        }
        defer {
            loop.unwatch(token)
            control = nil
        }
        events.append(.started, "Serving '\(arguments.type)' at \(arguments.place).")
        try server.run()
        // Whoever has the recorder's memory knows by it that the process has not died.
        function.host.tap?.note(.event(EventRecorder.orderlyEnd))
    }

    // MARK: ControlDelegate

    var function: Function { server.function }

    var info: ControlInfo {
        ControlInfo(
            name: arguments.name, type: arguments.type, options: arguments.options, process: getpid(),
            socket: arguments.place.description, clientConnected: server.hasClient, uptimeSeconds: uptimeSeconds)
    }

    var uptimeSeconds: Double { Double(SystemClock.nanoseconds &- started) / 1e9 }

    /// Ends the process, and with it the other functions.
    func stop() {
        stopSignal.send()
    }
}
