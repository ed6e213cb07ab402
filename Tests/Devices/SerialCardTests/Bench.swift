import Device
import Glibc
import Linux
import PCI
import Testing

@testable import SerialCard

/// The card's eight ports, by their names in Linux's serial_reg.h.
enum Port: UInt64 {
    case data = 0
    case ier, iirFCR, lcr, mcr, lsr, msr, scr
}

/// A card in a slot: ports to read and write, and the level of its pin.
final class Bench: Transport {
    let loop: EventLoop
    let host: Host
    let card: SerialCard
    /// Every change of the pin since the card was plugged in.
    private(set) var levels: [Bool] = []

    let messageRouting = MessageRouting.byVector(nil)
    func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool { false }
    func setINTx(_ asserted: Bool) { levels.append(asserted) }

    var pin: Bool { levels.last ?? false }

    init(line: String = "none") throws {
        loop = try EventLoop()
        host = Host(loop: loop)
        card = try SerialCard(options: try DeviceOptions(["line=\(line)"], for: SerialCard.type), host: host)
        host.interrupts.transport = self
    }

    func get(_ port: Port) -> UInt8 {
        UInt8(truncatingIfNeeded: card.read(0, at: port.rawValue, width: .byte))
    }

    func set(_ port: Port, _ value: UInt8) {
        card.write(0, at: port.rawValue, width: .byte, value: UInt64(value))
    }

    /// What an interrupt handler gets out of the receiver.
    func drain() -> [UInt8] {
        var bytes: [UInt8] = []
        while get(.lsr) & 0x01 != 0 { bytes.append(get(.data)) }
        return bytes
    }

    /// Lets the line's events happen until none is left.
    func settle() throws {
        for _ in 0..<16 { try loop.dispatch(within: .zero) }
    }

    /// Waits for what another thread of the kernel has yet to do: a terminal's bytes take a moment.
    func wait(until happened: () -> Bool) throws {
        for _ in 0..<100 where !happened() { try loop.dispatch(within: .milliseconds(100)) }
    }

    /// As drivers open a port: FIFOs on with a trigger level of 8, DTR, RTS and OUT2 high.
    func open(interrupts: UInt8 = 0x05) {
        set(.iirFCR, 0x87)
        set(.lcr, 0x03)
        set(.mcr, 0x0b)
        set(.ier, interrupts)
    }
}

/// Whoever is at the other end of the line.
final class Peer {
    let stream: ByteStream

    init(connectingTo path: String) throws {
        stream = try ByteStream(UnixSocket(connectingTo: path))
    }

    deinit {
        // At once, even while a program that another test starts still has a copy of the socket.
        shutdown(stream.descriptor.raw, Int32(SHUT_RDWR))
    }

    /// Sends as much of `bytes` as there is room for.
    func send(_ bytes: [UInt8]) -> Int {
        switch stream.send(bytes.span.bytes) {
        case .bytes(let count): count
        case .blocked, .ended: 0
        }
    }

    /// Receives what is there, at most `limit` bytes.
    func receive(limit: Int = 4096) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        var span = buffer.mutableSpan
        var bytes = span.mutableBytes
        guard case .bytes(let count) = stream.receive(into: &bytes) else { return [] }
        return Array(buffer[..<count])
    }
}

/// Bytes in which a lost, doubled or swapped one shows.
func pattern(_ count: Int) -> [UInt8] {
    var value: UInt32 = 1
    return (0..<count).map { _ in
        value = value &* 1_664_525 &+ 1_013_904_223
        return UInt8(value >> 24)
    }
}
