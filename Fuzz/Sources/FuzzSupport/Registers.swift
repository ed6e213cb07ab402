import Device
import DeviceCatalog
import GuestMemory
import Linux

/// Does to a fresh device whatever the input says: accesses of every region and width, resets, saves and restores.
public func fuzzRegisters(of type: String, _ start: UnsafePointer<UInt8>?, _ count: Int) {
    do {
        let host = Host(loop: try EventLoop())
        let memory = try MemoryFile(name: "guest", size: 1 << 16)
        try host.memory.map(
            address: 0, size: 1 << 16, access: [.read, .write], backing: .file(memory.descriptor.duplicate(), offset: 0)
        )
        let function = try Function(
            try DeviceCatalog.make(type, options: type == "bochs-display" ? ["vram=4M"] : [], host: host), host: host)
        // A bus master from the start: random bytes seldom find the bit.
        try function.write(region: Function.configurationRegion, offset: 4, from: [UInt8(4)].span.bytes)
        var input = Input(start, count)
        while !input.isEmpty { step(function, &input) }
    } catch {
        fuzzFailed("The device could not be made: \(error)")
    }
}

private func step(_ function: Function, _ input: inout Input) {
    let action = input.byte()
    let region = Int(action & 0x0f)
    // Mostly near the beginning, where the registers are.
    let offset = action & 0x40 == 0 ? input.number(bytes: 2) & 0xfff : input.number(bytes: 8)
    switch action >> 4 & 3 {
    case 0:
        var bytes = [UInt8](repeating: 0, count: Int(input.byte() & 0x1f))
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try? function.read(region: region, offset: offset, into: &raw)
    case 1, 2:
        let bytes = input.take(Int(input.byte() & 0x1f))
        try? function.write(region: region, offset: offset, from: bytes.span.bytes)
    default:
        if action & 0x80 == 0 { function.reset() } else { saveAndRestore(function) }
        for framebuffer in function.device.framebuffers { _ = framebuffer.takeDamage() }
    }
}

/// A state that a device has must always be one that it takes.
public func saveAndRestore(_ function: Function) {
    do {
        let reader = try StateReader(function)
        var state: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            var span = piece.mutableSpan
            var bytes = span.mutableBytes
            let count = reader.read(into: &bytes)
            state += piece[..<count]
            if count < piece.count { break }
        }
        let writer = StateWriter(function)
        try writer.write(state.span.bytes)
        try writer.finish()
    } catch {
        fuzzFailed("A device refused its own state: \(error)")
    }
}

/// Ends the fuzzer with a finding.
public func fuzzFailed(_ reason: String) -> Never {
    fatalError(reason)
}
