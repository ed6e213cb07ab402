import Device
import Linux
import Virtio

/// A virtio device for the transport's tests. Queue 0 answers at once, by the bytes that it reads. Queue 1 keeps its chains until
/// the driver asks for them, in any order. Its configuration: a number of 4 bytes; a byte that, written, gives back the kept
/// chain of this ID; a byte that, written, makes the device do something.
final class EchoDevice: VirtioDevice {
    static let type = DeviceType(name: "echo", summary: "A virtio device for tests")
    static let id = VirtioID(63, class: .unclassified)

    let features: UInt64 = 1 << 3
    let queueSizes = [256, 8]

    static let completion: UInt64 = 4
    static let action: UInt64 = 5
    enum Action {
        static let change: UInt64 = 1
        static let fail: UInt64 = 2
        /// Take one chain at a time, and no more.
        static let hesitate: UInt64 = 3
        /// Take all that there are.
        static let goOn: UInt64 = 4
    }

    private let port: VirtioPort
    private var kept: [Chain] = []
    private var hesitates = false
    /// How often each queue was processed.
    private(set) var calls = [0, 0]
    private(set) var queueResets: [Int] = []
    private(set) var state = State()

    struct State: Codable, Equatable, Sendable {
        var number: UInt32 = 0x1234_5678
    }

    init(options: DeviceOptions, port: VirtioPort) {
        self.port = port
    }

    var configuration: [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: state.number >> (8 * $0)) } + [0, 0]
    }

    var keptIDs: [UInt16] { kept.map(\.id) }

    func writeConfiguration(_ bytes: RawSpan, at offset: Int) {
        for index in 0..<bytes.byteCount {
            let byte = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            switch offset + index {
            case 0..<4:
                let shift = UInt32(8 * (offset + index))
                state.number = state.number & ~(0xff << shift) | UInt32(byte) << shift
            case 4: complete(UInt16(byte))
            case 5 where byte == 1: port.configurationChanged()
            case 5 where byte == 2: port.fail()
            case 5 where byte == 3: hesitates = true
            case 5 where byte == 4:
                hesitates = false
                process(0)
            default: break
            }
        }
    }

    private func complete(_ id: UInt16) {
        guard let place = kept.firstIndex(where: { $0.id == id }) else { return }
        answer(kept.remove(at: place))
    }

    private func answer(_ chain: Chain) {
        chain.write(chain.readBytes(limit: 1 << 16))
        port.push(chain)
    }

    func process(_ queue: Int) {
        calls[queue] += 1
        while let chain = port.next(queue) {
            if queue == 0 { answer(chain) } else { kept.append(chain) }
            if hesitates { return }
        }
    }

    func resetQueue(_ queue: Int) {
        queueResets.append(queue)
        if queue == 1 { kept = [] }
    }

    func reset() {
        kept = []
        state = State()
    }

    func restore(_ state: State) throws(StateError) {
        guard state.number != 0 else { throw StateError("The number is 0.") }
        self.state = state
        kept = []
    }
}
