import Device
import DeviceCatalog
import FuzzSupport
import Glibc
import Linux

@testable import SerialCard

/// Accesses of a serial card's registers, and a peer at its line that comes, talks, listens and goes.
final class SerialFuzzer: FuzzTarget {
    private let driver: RegisterDriver
    private let card: SerialCard?
    private var peer: UnixSocket?
    /// How many turns it takes until each peer that came is taken, and has gone.
    private var arrivals = 0
    private let buffer: PageBuffer
    private(set) var reach: Reach<String>

    private static let plain = RegisterDriver.Place.all(UART.registers, bar: 0)
    private static let divisor = RegisterDriver.Place.all(UART.divisorRegisters, bar: 0)
    private static let events = ["peer came", "peer spoke", "peer heard", "peer went"]
    /// Fewer than a listener lets wait.
    private static let maximumArrivals = 16
    private static let causes = ["modem status", "transmitter empty", "received data", "line status", "timeout"]

    init() throws {
        let path = "/tmp/fuzz-serial-\(getpid()).sock"
        let device = try FuzzedFunction {
            try DeviceCatalog.make("serial", options: ["line=unix:\(path)"], host: $0)
        }
        unlink(path + ".lock")
        driver = RegisterDriver(device, registers: Self.plain)
        card = device.function.device as? SerialCard
        buffer = try PageBuffer(count: 4096)
        let divisor = Self.divisor.filter { place in !Self.plain.contains { $0.name == place.name } }
        reach = Reach(driver.features(Self.plain + divisor) + Self.events + Self.causes)
    }

    func run(_ input: inout Input) throws {
        try hangUp()
        try driver.device.begin(input)
        while !input.isEmpty {
            try driver.step(&input, &reach) { action, input, reach in
                try act(action, &input, &reach)
            }
            guard let state = card?.state else { continue }
            driver.registers = state.lineControl & 0x80 == 0 ? Self.plain : Self.divisor
        }
        try noteCause()
    }

    private func act(_ action: UInt8, _ input: inout Input, _ reach: inout Reach<String>) throws {
        switch action & 3 {
        case 0 where peer == nil:
            guard let path = card?.linePath else { return }
            guard arrivals < Self.maximumArrivals else { return }
            arrivals += 2
            peer = try UnixSocket(connectingTo: path)
            reach.note("peer came")
        case 1:
            guard peer != nil else { return }
            // Where there is no room nobody waits.
            try? peer?.send(input.take(Int(input.byte() & 0x1f)).span.bytes, within: .zero)
            reach.note("peer spoke")
        case 2:
            var descriptors = ReceivedDescriptors()
            let received = try peer?.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: false)
            if case .bytes = received { reach.note("peer heard") }
        default:
            guard peer != nil else { return }
            leave()
            reach.note("peer went")
        }
        try driver.device.host.loop.dispatch(within: .zero)
    }

    /// Every peer has gone, and the card knows: those too that came while it had one, and a last one, which takes what
    /// the card has kept for it.
    private func hangUp() throws {
        leave()
        if let path = card?.linePath {
            let last = try UnixSocket(connectingTo: path)
            try settle(turns: arrivals + 2)
            last.shutDown()
        }
        try settle(turns: 2)
        arrivals = 0
    }

    /// At once: another thread closes the socket.
    private func leave() {
        peer?.shutDown()
        peer = nil
    }

    private func settle(turns: Int) throws {
        for _ in 0..<turns {
            driver.device.function.reset()
            try driver.device.host.loop.dispatch(within: .zero)
        }
    }

    /// Which interrupt is identified.
    private func noteCause() throws {
        driver.registers = Self.plain
        guard let cause = try? driver.device.identifiedInterrupt() else { return }
        switch InterruptCause(rawValue: cause & 0x0f) {
        case .modemStatus: reach.note("modem status")
        case .transmitterHoldingEmpty: reach.note("transmitter empty")
        case .receivedData: reach.note("received data")
        case .lineStatus: reach.note("line status")
        case .characterTimeout: reach.note("timeout")
        default: break
        }
    }
}

extension FuzzedFunction {
    fileprivate func identifiedInterrupt() throws -> UInt8 {
        var byte: [UInt8] = [0]
        var span = byte.mutableSpan
        var raw = span.mutableBytes
        try function.read(region: 0, offset: 2, into: &raw)
        return byte[0]
    }
}
