import Device
import Linux
import Virtio

/// A virtio device for tests and fuzzers of the transport. Queue 0 answers at once, by the bytes that it reads. Queue 1
/// reads its chains and keeps them until the driver asks for them, in any order. Its configuration: a number of 4
/// bytes; a byte that, written, gives back the kept chain of this ID; a byte that, written, makes the device do
/// something.
public final class EchoDevice: VirtioDevice {
    public static let type = DeviceType(name: "echo", summary: "A virtio device for tests")
    public static let id = VirtioID(63, class: .unclassified)

    public let features: UInt64 = 1 << 3
    public let queueSizes = [256, 8]

    /// Places in the configuration.
    public static let completion: UInt64 = 4
    public static let action: UInt64 = 5

    /// What the device can be made to do.
    public enum Action: UInt8, Sendable {
        /// Tell of a change of the configuration.
        case change = 1
        /// Give up.
        case fail = 2
        /// Take one chain at a time, and no more.
        case hesitate = 3
        /// Take all that there are.
        case goOn = 4
    }

    private let port: VirtioPort
    private var kept: [(chain: Chain, bytes: [UInt8])] = []
    private var hesitates = false
    /// How often each queue was processed.
    public private(set) var calls = [0, 0]
    /// How often each queue was reset.
    public private(set) var queueResets = [0, 0]
    public private(set) var state = State()

    public struct State: Codable, Sendable {
        var number: UInt32 = 0x1234_5678
    }

    public init(options: DeviceOptions, port: VirtioPort) {
        self.port = port
    }

    /// The chains that wait in queue 1.
    public var keptIDs: [UInt16] { kept.map(\.chain.id) }

    public var configuration: [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: state.number >> (8 * $0)) } + [0, 0]
    }

    public func writeConfiguration(_ bytes: RawSpan, at offset: Int) {
        for index in 0..<bytes.byteCount {
            let byte = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            switch offset + index {
            case 0..<4:
                let shift = UInt32(8 * (offset + index))
                state.number = state.number & ~(0xff << shift) | UInt32(byte) << shift
            case 4: complete(UInt16(byte))
            default: carryOut(Action(rawValue: byte))
            }
        }
    }

    private func complete(_ id: UInt16) {
        guard let place = kept.firstIndex(where: { $0.chain.id == id }) else { return }
        let (chain, bytes) = kept.remove(at: place)
        answer(chain, by: bytes)
    }

    private func carryOut(_ action: Action?) {
        switch action {
        case .change: port.configurationChanged()
        case .fail: port.fail()
        case .hesitate: hesitates = true
        case .goOn:
            hesitates = false
            process(0)
        case nil: break
        }
    }

    private func answer(_ chain: Chain, by bytes: [UInt8]) {
        chain.write(bytes)
        port.addUsed(chain)
        // What has come back to the driver is not to be changed, and not to come back twice.
        chain.write([0xee])
        port.addUsed(chain)
    }

    public func process(_ queue: Int) {
        calls[queue] += 1
        while let chain = port.pop(queue) {
            let bytes = chain.readBytes(limit: 1 << 16)
            guard chain.isInFlight else { return }
            if queue == 0 { answer(chain, by: bytes) } else { kept.append((chain, bytes)) }
            if hesitates { return }
        }
    }

    public func resetQueue(_ queue: Int) {
        queueResets[queue] += 1
        if queue == 1 { kept = [] }
    }

    public func reset() {
        kept = []
        hesitates = false
        state = State()
    }

    public func restore(_ state: State) throws(StateError) {
        guard state.number != 0 else { throw StateError("The number is 0.") }
        self.state = state
        kept = []
    }
}
