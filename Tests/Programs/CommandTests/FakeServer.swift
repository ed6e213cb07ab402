import FakeGuest
import Linux
import VFIO
import Waiting

/// A vfio-user server of a device that is what a test says. It keeps no rule that the test doesn't want kept.
final class FakeServer: Sendable {
    /// What a command gets.
    enum Answer: Sendable {
        case reply([UInt8], descriptors: [Int32] = [])
        case refusal(Errno)
        /// Bytes as they are, in place of a message.
        case bytes([UInt8])
        /// The same bytes again and again, as long as somebody takes them.
        case endless([UInt8])
        case silence
        case hangUp
    }

    private let acceptor: Acceptor
    private let device: FakeDevice

    init(_ device: FakeDevice, at path: String) throws {
        self.device = device
        acceptor = try Acceptor(at: path)
        try acceptor.start { [self] socket in try serve(RawClient(socket)) }
    }

    var path: String { acceptor.path }

    private func serve(_ peer: RawClient) throws {
        while let message = try peer.receive() {
            switch device.answer(message) {
            case .reply(let payload, let descriptors):
                try peer.send(message.header.reply(payload: payload.count).bytes + payload, descriptors: descriptors)
            case .refusal(let errno): try peer.send(message.header.reply(error: errno.rawValue).bytes)
            case .bytes(let bytes): try peer.send(bytes)
            case .endless(let bytes): while true { try peer.send(bytes) }
            case .silence: break
            case .hangUp: return
            }
        }
    }

    func end() { acceptor.end() }
}

/// What a ``FakeServer`` tells, by default as the protocol wants it.
struct FakeDevice: Sendable {
    var version = wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"max_msg_fds":8}}"#.utf8) + [0]
    var info = DeviceInfo(flags: [.pci, .reset], regionCount: 9, irqCount: 5)
    var regions: [RegionInfo] = []
    var interrupts: [IRQInfo] = []
    /// Region 7, which needn't be among ``regions``.
    var configuration: [UInt8] = []
    /// Comes first; nil leaves the answer to the rest.
    var script: @Sendable (RawClient.Message) -> FakeServer.Answer? = { _ in nil }

    fileprivate func answer(_ message: RawClient.Message) -> FakeServer.Answer {
        if let answer = script(message) { return answer }
        let payload = message.payload
        switch VFIO.Command(rawValue: message.header.command) {
        case .version: return .reply(version)
        case .deviceGetInfo: return .reply(wire { info.write(into: &$0) })
        case .deviceGetRegionInfo:
            guard let request = try? RegionInfo.Request(payload.span.bytes) else { return .refusal(.invalidArgument) }
            let all =
                regions + [
                    RegionInfo(index: 7, flags: [.read, .write], length: UInt64(configuration.count))
                ]
            let region = all.first { $0.index == request.index } ?? RegionInfo(index: request.index)
            return .reply(wire { region.write(into: &$0, argumentSize: request.argumentSize).count })
        case .deviceGetIRQInfo:
            guard let request = try? IRQInfo(payload.span.bytes) else { return .refusal(.invalidArgument) }
            let interrupt = interrupts.first { $0.index == request.index } ?? IRQInfo(index: request.index)
            return .reply(wire { interrupt.write(into: &$0) })
        case .regionRead:
            guard let access = try? RegionAccess(read: payload.span.bytes), access.region == 7,
                access.offset + UInt64(access.count) <= UInt64(configuration.count)
            else { return .refusal(.invalidArgument) }
            let bytes = configuration[Int(access.offset)..<Int(access.offset) + Int(access.count)]
            return .reply(wire { access.write(into: &$0) } + bytes)
        default: return .refusal(.notSupported)
        }
    }

    /// Answers one command in a way of its own.
    func answering(
        _ command: VFIO.Command, by answer: @escaping @Sendable (RawClient.Message) -> FakeServer.Answer
    ) -> FakeDevice {
        var device = self
        device.script = { [script] message in
            message.header.command == command.rawValue ? answer(message) : script(message)
        }
        return device
    }
}

extension MessageHeader {
    fileprivate var bytes: [UInt8] {
        wire { bytes in
            write(into: &bytes)
            return Self.size
        }
    }
}
