import Control
import Device
import Glibc
import JSON
import Linux
import PCI
import Programs
import Synchronization
import Testing

/// A device with three heads: the first shows four pixels of a wider picture, the second is off, and the third shows
/// what the first does with a cursor of one white pixel.
final class TestDevice: Device, DisplayDevice, LimitedDevice, MonitorDevice {
    struct State: Codable { var value: Int }

    static let type = DeviceType(name: "test", summary: "Three heads.")

    let identity = PCIIdentity(vendor: 0x1234, device: 0x5678, class: .displayOther)
    let bars = [BAR.memory(0, size: 4096)]
    var heads: [any DisplayHead] { [first, isSecondHeadOn ? first : second, third] }
    var isSecondHeadOn = false
    /// Whether any state can hold what it has.
    var isSavable = true
    private(set) var quota = Quota(videoMemory: 4096, frameRate: 0)
    let videoMemoryUsed: Int? = nil
    private var first: Head
    private let second = Head(nil)
    private let third: Head

    init(options: DeviceOptions, host: Host) throws {
        let memory = try MemoryFile(name: "pixels", size: 4096)
        memory.replace(at: 100, with: Self.pixels.span.bytes)
        memory.replace(at: 200, with: [UInt8](repeating: 255, count: 4).span.bytes)
        let picture = Scanout(width: 2, height: 2, stride: 12, format: .xrgb8888, memory: memory, offset: 100)
        let dot = Scanout(width: 1, height: 1, stride: 4, format: .argb8888, memory: memory, offset: 200)
        first = Head(picture)
        third = Head(picture, Cursor(x: 1, y: 0, hotX: 0, hotY: 0, image: dot))
    }

    /// The first head shows something else from now on.
    func show(_ scanout: Scanout?, _ cursor: Cursor? = nil) { first = Head(scanout, cursor) }

    /// Two lines of two pixels, with four bytes between the lines.
    static let pixels: [UInt8] = [1, 2, 3, 0, 4, 5, 6, 0, 99, 99, 99, 99, 7, 8, 9, 0, 10, 11, 12, 0]
    static let visible: [UInt8] = [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 10, 11, 12, 0]

    func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { 0 }
    func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {}
    func reset() {}
    func apply(_ changes: Quota) throws(QuotaError) {
        let size = changes.videoMemory ?? 4096
        guard size % 4096 == 0 else { throw QuotaError("Video memory can't be \(size) bytes.") }
        quota = Quota(
            videoMemory: changes.videoMemory ?? quota.videoMemory, frameRate: changes.frameRate ?? quota.frameRate)
    }
    func connect(_ monitor: Monitor?, to head: Int) throws(MonitorError) {
        guard head == 1 else { throw MonitorError("Head \(head) keeps its monitor.") }
    }
    var state: State { State(value: 7) }
    func restore(_ state: State) throws(StateError) {}
    func requireSavable() throws(StateError) {
        guard isSavable else { throw StateError("It has what can't be saved.") }
    }

    private final class Head: DisplayHead {
        let scanout: Scanout?
        let cursor: Cursor?
        let damage = Damage()
        init(_ scanout: Scanout?, _ cursor: Cursor? = nil) {
            self.scanout = scanout
            self.cursor = cursor
        }
    }
}

/// A device that has nothing but registers.
final class BareDevice: Device {
    static let type = DeviceType(name: "bare", summary: "Nothing.")

    let identity = PCIIdentity(vendor: 0x1234, device: 0x5679, class: .unclassified)
    let bars = [BAR.memory(0, size: 4096)]
    let state = 0

    init(options: DeviceOptions, host: Host) {}

    func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { 0 }
    func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {}
    func reset() {}
    func restore(_ state: Int) throws(StateError) {}
}

/// A thread that is to its control socket what a device process is.
final class DeviceProcess: Sendable {
    let path = temporaryPath()
    /// Whether a client has asked it to stop.
    let isStopped = Atomic<Bool>(false)
    private let isUnsavable = Atomic<Bool>(false)
    private let thread = Mutex<Linux.Thread?>(nil)
    private let ending: EventFD
    private let happening: EventFD

    /// Whether its peers may send descriptors, as on a kernel that can't keep them from it.
    private let takesDescriptors: Bool

    init(takesDescriptors: Bool = false) throws {
        self.takesDescriptors = takesDescriptors
        ending = try EventFD()
        happening = try EventFD()
        let ready = try EventFD()
        let started = try Linux.Thread(name: "device") { [self] in
            do { try run(ready) } catch { Issue.record(error) }
            ready.signal()
        }
        thread.withLock { $0 = started }
        try #require(ready.wait(within: .seconds(10)) > 0)
    }

    /// From now on the device has what no state can hold.
    func becomeUnsavable() {
        isUnsavable.store(true, ordering: .releasing)
        happen()
    }

    /// A client connects, as far as the event log knows, and the device wants an interrupt.
    func happen() {
        happening.signal()
    }

    /// Ends the thread, and with it the server.
    func end() {
        ending.signal()
        thread.withLock { $0.take() }?.join()
    }

    private func run(_ ready: EventFD) throws {
        let loop = try EventLoop()
        let host = Host(loop: loop)
        let device = try TestDevice(options: DeviceOptions(for: TestDevice.type), host: host)
        let delegate = Delegate(try Function(device, host: host), self)
        let listener = try UnixListener(path: path, takesDescriptors: takesDescriptors)
        let server = try ControlServer(listener, loop: loop, delegate: delegate)
        var goesOn = true
        let token = try loop.watch("ending", ending.descriptor, for: .readable) { _ in goesOn = false }
        let event = try loop.watch("happening", happening.descriptor, for: .readable) { [happening, unowned self] _ in
            happening.consume()
            device.isSavable = !isUnsavable.load(ordering: .acquiring)
            delegate.events.append(.clientConnected, "It happened.")
            host.interrupts.setINTx(true)
        }
        ready.signal()
        while goesOn { try loop.dispatch(within: nil) }
        loop.unwatch(token)
        loop.unwatch(event)
        withExtendedLifetime((server, delegate)) {}
    }

    final class Delegate: ControlDelegate {
        let function: Function
        weak let process: DeviceProcess?

        let events = EventLog { _ in }
        let pictures = PictureReader()

        init(_ function: Function, _ process: DeviceProcess? = nil) {
            self.function = function
            self.process = process
        }

        var info: ControlInfo {
            ControlInfo(
                type: "test", options: ["a=b"], process: getpid(), socket: "/run/x", clientConnected: false,
                uptimeSeconds: 1.5)
        }
        var statistics: JSON { ["reads": .init(UInt64.max)] }
        func stop() { process?.isStopped.store(true, ordering: .releasing) }
    }
}

/// Runs `body` beside a device process.
func withDeviceProcess(takesDescriptors: Bool = false, _ body: (DeviceProcess) throws -> Void) throws {
    let process = try DeviceProcess(takesDescriptors: takesDescriptors)
    defer { process.end() }
    try body(process)
}

/// The first bytes of memory.
func contents(of memory: MappedBytes, count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    memory.copy(at: 0, count: count, into: &raw)
    return bytes
}

/// A peer that may say anything.
struct RawPeer: ~Copyable {
    let socket: UnixSocket
    private let buffer: PageBuffer

    init(_ path: String) throws {
        let buffer = try PageBuffer(count: 1 << 16)
        socket = try UnixSocket(connectingTo: path)
        self.buffer = buffer
    }

    func send(_ text: String, descriptors: [Int32] = []) throws {
        try socket.send(Array(text.utf8).span.bytes, descriptors: descriptors, within: .seconds(10))
    }

    /// The bytes that come next; nil when the process has closed the connection.
    func receive() throws -> String? {
        guard try socket.waitReadable(within: .seconds(10)) else { throw Errno.timedOut }
        var descriptors = ReceivedDescriptors()
        switch try socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: false) {
        case .bytes(let count, _, _):
            return buffer.bytes(0..<count).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        case .endOfFile: return nil
        case .nothing: return ""
        }
    }

    /// The lines that come next, so many.
    func lines(_ count: Int) throws -> [JSON] {
        var text = ""
        while text.utf8.count(where: { $0 == UInt8(ascii: "\n") }) < count {
            guard let more = try receive() else { break }
            text += more
        }
        return try text.split(separator: "\n").map { try JSON(parsing: String($0)) }
    }
}
