import Lab
import Linux
import Testing

extension GuestTests {
    /// The serial card in real guests.
    @Suite(.serialized) struct SerialTests {
        private static let count = 64 << 10

        /// Byte number `index` of the stream that the guest's `serial` sends and expects.
        private static func byte(_ index: Int) -> UInt8 {
            UInt8(truncatingIfNeeded: index * 31 + (index >> 8) * 17 + 7)
        }

        @Test(arguments: ["6.1", "6.12"])
        func theStockDriverMovesEveryByte(kernel: String) throws {
            let card = try VirtualDevice("serial", options: ["line=unix:@line"])
            let machine = try Machine(devices: [card.argument(",\"addr\":\"0x4\"")], boot: Lab.boot(kernel))
            try machine.awaitReady()
            let port = try machine.run("ttyof 00:04.0").output
            #expect(port.hasPrefix("/dev/ttyS"))
            // A terminal begins with echo on: the driver's settings are made before anything is sent.
            #expect(try machine.run("serial \(port) lines").status == 0)
            let line = try Peer(path: card.path("line"))

            let stream = (0..<Self.count).map(Self.byte)
            try machine.start("serial \(port) receive \(Self.count)")
            try line.send(stream)
            let received = try machine.finish()
            #expect(received.status == 0, "\(received.output)")
            #expect(received.output.contains("wrong 0 overrun 0"))

            try machine.start("serial \(port) send \(Self.count)")
            #expect(try line.receive(Self.count) == stream)
            #expect(try machine.finish().status == 0)

            // No interrupt is lost or stuck: the next bytes still bring theirs. A driver that has to poll causes none.
            let before = try card.control.statistics()["interrupts"]?.int ?? 0
            #expect(before > 0)
            try machine.start("serial \(port) echo 100")
            try line.send(Array(stream.prefix(100)))
            #expect(try line.receive(100) == Array(stream.prefix(100)))
            #expect(try machine.finish().status == 0)
            #expect(try card.control.statistics()["interrupts"]?.int ?? 0 > before)
        }
    }
}

/// Whoever is at the other end of the card's line.
final class Peer {
    private let socket: UnixSocket
    private let buffer: PageBuffer

    init(path: String) throws {
        socket = try UnixSocket(connectingTo: path)
        buffer = try PageBuffer(count: 1 << 16)
    }

    func send(_ bytes: [UInt8]) throws {
        try socket.send(bytes.span.bytes, within: .seconds(60))
    }

    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            guard try socket.waitReadable(within: .seconds(60)) else {
                throw GuestError("Only \(bytes.count) of \(count) bytes came over the line.")
            }
            var descriptors = ReceivedDescriptors()
            guard
                case .bytes(let piece, _, _) = try socket.receive(
                    into: buffer, from: 0, descriptors: &descriptors, blocking: false)
            else { throw GuestError("The line was closed after \(bytes.count) bytes.") }
            bytes += buffer.bytes(0..<piece).withUnsafeBytes { Array($0) }
        }
        return bytes
    }
}
