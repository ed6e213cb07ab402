import Device
import DeviceCatalog
import FakeDriver
import FakeGuest
import FuzzSupport
import GuestMemory
import Linux

/// A driver that keeps its rings in order, and sends the commands that the input says.
private struct Guest {
    let function: Function
    let driver: VirtioDriver
    let queues: [any DriverQueue]
    let request: UInt64
    let answer: UInt64

    static let size = 1 << 17
    /// Room for a request, and for an answer.
    static let room = 4096

    init() throws {
        let host = Host(loop: try EventLoop())
        // At address 0: small numbers are addresses then.
        let ram = try GuestRAM(at: 0, size: Self.size)
        try host.memory.map(
            address: 0, size: UInt64(Self.size), access: [.read, .write],
            backing: .file(ram.file.descriptor.duplicate(), offset: 0))
        let options = ["heads=2", "vram=3M", "resolution=640x480", "blob=on"]
        function = try Function(DeviceCatalog.make("virtio-gpu", options: options, host: host), host: host)
        driver = try VirtioDriver(function, ram: ram)
        guard try driver.negotiate(driver.offered) else { fuzzFailed("The device refused what it offers.") }
        queues = try [driver.queue(0), driver.queue(1)]
        try driver.setDriverOK()
        request = driver.allocate(Self.room)
        answer = driver.allocate(Self.room)
    }

    func step(_ input: inout Input) throws {
        let action = input.byte()
        switch action {
        case 0xff: saveAndRestore(function)
        case 0xfe: for framebuffer in function.device.framebuffers { _ = framebuffer.takeDamage() }
        case 0xfd:
            driver.store(input.take(Int(input.byte())), at: answer + input.number(bytes: 2) % UInt64(Self.room - 256))
        default: try send(action, &input)
        }
    }

    /// Sends one of the commands 0x100 to 0x10f, 0x200 to 0x20f or 0x300 to 0x30f, with up to 31 numbers.
    private func send(_ action: UInt8, _ input: inout Input) throws {
        let shape = input.byte()
        let type = UInt32((action >> 4) % 3 + 1) << 8 | UInt32(action & 0xf)
        let body = (0..<Int(shape & 0x1f)).flatMap { _ in wire(number(&input)) }
        let bytes = wire(type, UInt32(shape >> 7), UInt64(0), UInt32(0), UInt32(0)) + body
        let room = shape & 0x40 == 0 ? Self.room : Int(input.byte())
        driver.store(bytes, at: request)
        let queue = queues[shape & 0x20 == 0 && type >= 0x300 ? 1 : 0]
        var buffers = [Buffer.readable(request, bytes.count)]
        if room > 0 { buffers.append(.writable(answer, room)) }
        queue.add(buffers, isIndirect: false)
        try driver.notify(queue)
        guard let used = queue.takeUsed(), used.count <= room else { fuzzFailed("A command was not given back.") }
    }

    /// Mostly small, as the numbers of commands are.
    private func number(_ input: inout Input) -> UInt32 {
        let byte = input.byte()
        return byte < 0xf0 ? UInt32(byte) : UInt32(truncatingIfNeeded: input.number(bytes: 4))
    }
}

private func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) {
    do {
        let guest = try Guest()
        var input = Input(start, count)
        while !input.isEmpty { try guest.step(&input) }
        if try guest.driver.needsReset { fuzzFailed("The device gave up.") }
    } catch {
        fuzzFailed("A driver's register access failed: \(error)")
    }
}

@main
enum Fuzzer {
    static func main() {
        runFuzzer { start, count in
            fuzz(start, count)
            return 0
        }
    }
}
