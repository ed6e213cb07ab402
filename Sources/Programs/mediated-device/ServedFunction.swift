import Control
import Device
import DeviceCatalog
import Glibc
import GuestMemory
import Linux
import Tap
import Xen

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

    /// Makes the device and the sockets. Nobody is served yet.
    ///
    /// - Parameters:
    ///   - index: which function of those in `process`.
    ///   - opened: where its accesses come from.
    init(_ index: Int, of process: DeviceArguments, at opened: OpenPlace, stopSignal: StopSignal) throws {
        let arguments = process.functions[index]
        let count = process.functions.count
        let loop = try EventLoop()
        let place = try TakenPlace(opened)
        let host = Host(
            loop: loop, memory: AddressSpace(functions: count),
            deviceMemory: place.slot?.deviceMemory ?? DeviceMemory(), hasGuestFiles: place.slot == nil)
        let device: any Device
        do {
            device = try DeviceCatalog.make(arguments.type, options: arguments.options, host: host)
        } catch let error as OptionError {
            throw Failure(Failure.Exit.usage, error.description)
        } catch let error as UnavailableError {
            throw Failure(Failure.Exit.cannotCreate, error.description)
        }
        let function = try Function(device, host: host)
        // A state is a stranger's, and is parsed with nothing at hand that could harm another domain.
        place.slot?.seal()
        if let state = arguments.state { try function.restore(state) { place.slot?.isKept($0) ?? false } }
        // Lines of several functions are told apart.
        let name = arguments.name ?? (count > 1 ? arguments.place.description : nil)
        let events = EventLog { DeviceProcess.say($0, of: name) }
        host.report = { events.append(.device, $0) }
        switch place {
        case .socket(let path): server = try makeServer(of: function, at: path, arguments, process, events: events)
        case .slot(let slot): server = try slot.makeServer(of: function, stays: process.stays, events: events)
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
        control = try ControlServer(listener, loop: loop, delegate: self)
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

extension Function {
    /// Goes on from a saved state.
    ///
    /// - Parameter isKept: whether memory has something newer than the state.
    fileprivate func restore(
        _ state: DeviceArguments.State, keeping isKept: (MappedBytes) -> Bool
    ) throws(Failure) {
        let name: String
        let file: Descriptor
        switch state {
        case .file(let path):
            name = "'\(path)'"
            do throws(Errno) { file = try Descriptor(reading: path) } catch { throw Self.unreadable(name, error) }
        case .descriptor(let raw):
            name = "The state in descriptor \(raw)"
            file = Descriptor(owning: raw)
        }
        do {
            let writer = StateWriter(self, keeping: isKept)
            while true {
                let piece = try file.readBytes(upTo: 1 << 20)
                if piece.isEmpty { break }
                try writer.write(piece.span.bytes)
            }
            try writer.finish()
        } catch let error as StateError {
            throw Failure(Failure.Exit.badState, "\(name) can't be restored. \(error)")
        } catch {
            throw Self.unreadable(name, error)
        }
    }

    private static func unreadable(_ name: String, _ error: any Error) -> Failure {
        Failure(Failure.Exit.noInput, "\(name) can't be read: \(error).")
    }
}
