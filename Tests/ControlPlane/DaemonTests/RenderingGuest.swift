import FakeDriver
import FakeGuest
import Foundation
import JSON
import Linux
import RunningDaemon
import Testing
import VFIOUserClient

/// A guest with 3D, at a vGPU that a daemon has started.
final class RenderingGuest {
    /// VIRTIO_GPU_RESP_OK_NODATA, and VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID.
    static let done: UInt32 = 0x1100
    static let invalidContext: UInt32 = 0x1204

    /// For pixels.
    let memory: Range<UInt64>
    private let driver: VirtioDriver
    private let queues: [any DriverQueue]
    private let interrupt: EventFD
    private let request: UInt64
    private let response: UInt64

    private static let address: UInt64 = 0x10_0000
    private static let size = 1 << 20
    private static let room = 4096
    private static let longest = 1 << 16
    /// How long a response may take; the renderer's own limit is far below.
    private static let patience = Duration.seconds(60)

    init(socket: String) throws {
        let client = try Client(path: socket)
        let ram = try GuestRAM(at: Self.address, size: Self.size)
        try client.map(address: ram.address, size: UInt64(Self.size), file: ram.file.descriptor)
        interrupt = try EventFD()
        try client.setEventFDs([interrupt], kind: .msix)
        driver = try VirtioDriver(client, ram: ram)
        #expect(try driver.negotiate(driver.offered))
        queues = try [driver.queue(0, size: 16, vector: 0), driver.queue(1, size: 16, vector: 0)]
        try driver.setDriverOK()
        request = driver.allocate(Self.longest)
        response = driver.allocate(Self.room)
        let start = driver.allocate(1 << 17)
        memory = start..<start + 1 << 17
    }

    var needsReset: Bool { get throws { try driver.needsReset } }

    /// Sends a request and waits for the response.
    ///
    /// - Parameter afterwards: called when the device has the request.
    /// - Returns: the response's type.
    func send(_ command: GPUCommand, _ bytes: [UInt8], afterwards: () -> Void = {}) throws -> UInt32 {
        driver.store(bytes, at: request)
        let queue = queues[command.queue]
        queue.add([.readable(request, bytes.count), .writable(response, Self.room)], isIndirect: false)
        try driver.notify(queue)
        afterwards()
        let deadline = Deadline(after: Self.patience)
        while true {
            if let used = queue.takeUsed() {
                return used.count < 24 ? 0 : driver.load(UInt32.self, at: response)
            }
            guard !deadline.hasPassed else { throw NoAnswer(command: command) }
            _ = interrupt.wait(within: deadline.left)
        }
    }

    struct NoAnswer: Error { let command: GPUCommand }

    // MARK: Drawing

    /// Makes context 1 and in it resource 1, of 64 by 64 pixels, with memory behind it.
    ///
    /// - Returns: whether there is a renderer that did it all.
    func setUp() throws -> Bool {
        let picture = wire(
            UInt32(1), UInt32(2), UInt32(1), UInt32(2), UInt32(64), UInt32(64), UInt32(1), UInt32(1), UInt32(0),
            UInt32(0),
            UInt32(0), UInt32(0))
        let entry = wire(UInt32(1), UInt32(1), memory.lowerBound, UInt32(1 << 14), UInt32(0))
        let name = wire(UInt32(0), UInt32(0)) + [UInt8](repeating: 0, count: 64)
        let requests: [(GPUCommand, UInt32, [UInt8])] = [
            (.ctxCreate, 1, name), (.resourceCreate3D, 0, picture), (.resourceAttachBacking, 0, entry),
            (.ctxAttachResource, 1, wire(UInt32(1), UInt32(0))),
        ]
        for (command, context, body) in requests {
            guard try send(command, command.header(context: context) + body) == Self.done else { return false }
        }
        return true
    }

    /// Fills the picture with red or black, and has it brought back.
    ///
    /// - Returns: whether it is what was drawn.
    func draw(red: Bool) throws -> Bool {
        let box = wire(UInt32(0), UInt32(0), UInt32(0), UInt32(64), UInt32(64), UInt32(1))
        let transfer = box + wire(UInt64(0), UInt32(1), UInt32(0), UInt32(256), UInt32(0))
        guard try submit(red: red) == Self.done else { return false }
        let command = GPUCommand.transferFromHost3D
        guard try send(command, command.header(context: 1, fence: 1) + transfer) == Self.done else { return false }
        return driver.bytes(at: memory.lowerBound, count: 4) == [0, 0, red ? 255 : 0, 255]
    }

    /// Fills the picture.
    ///
    /// - Returns: the response's type.
    func submit(red: Bool, afterwards: () -> Void = {}) throws -> UInt32 {
        let words: [UInt32] = [
            0x5_0801, 3, 1, 1, 0, 0, 0x3_0005, 1, 0, 3, 0x8_0007, 4, red ? Float(1).bitPattern : 0, 0, 0,
            Float(1).bitPattern, 0, 0, 0, 0x1_0803, 3,
        ]
        let stream = wire(UInt32(words.count * 4), UInt32(0)) + words.flatMap { wire($0) }
        let command = GPUCommand.submit3D
        return try send(command, command.header(context: 1, fence: 1) + stream, afterwards: afterwards)
    }
}

extension RunningDaemon {
    /// Starts a vGPU whose 3D this machine's processor draws.
    func startRenderingVGPU() throws -> (id: String, socket: String) {
        let body: JSON = [
            "parent": "software", "type": "virtio-gpu",
            "attributes": ["vram": "8M", "blob": "on"],
        ]
        let answer = try request("POST", "/v1/vgpus", body)
        let id = try #require(answer.json["uuid"]?.string, "\(answer)")
        let started = try request("POST", "/v1/vgpus/\(id)/start").json
        return (id, try #require(started["socket"]?.string, "\(started)"))
    }

    /// The process ID of a vGPU's renderer: the launcher's child, and that one the device process's.
    func renderer(of id: String) throws -> Int32? {
        var process = Int32(try #require(try vgpu(id)["pid"]?.int))
        for _ in 0..<2 {
            let children = try? String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)
            guard let child = children?.split(separator: " ").last.flatMap({ Int32($0) }) else { return nil }
            process = child
        }
        return process
    }
}
