import FuzzSupport
import Linux
import SharedRing

@testable import Renderer
@testable import Worker

/// A ring, and what somebody who has its memory can do to it.
struct HostileRing {
    private static let fields: [SharedRing.Field] = [.tail, .head, .consumerAsleep]

    let ring: MessageRing
    let doorbell: EventFD

    /// Its memory, as nobody should: positions, a header or any bytes.
    func corrupt(_ input: inout Input) {
        let action = input.byte()
        switch action & 3 {
        case 0: ring.memory.release(Self.fields[Int(action >> 2) % 3], UInt32(input.number(bytes: 4)))
        case 1:
            // Near what is right.
            let field = Self.fields[Int(action >> 2) % 2]
            let step = UInt32(bitPattern: Int32(Int8(bitPattern: input.byte())))
            ring.memory.release(field, ring.memory.acquire(field) &+ step)
        case 2:
            let place = ring.memory.acquire(.tail) &- UInt32(input.number(bytes: 1))
            ring.store(input.take(Int(action >> 2)).span.bytes, at: place)
        default: ring.store(input.take(Int(action >> 2)).span.bytes, at: UInt32(input.number(bytes: 3)))
        }
        if action & 0x80 != 0 { doorbell.signal() }
    }
}

extension RendererCommand {
    /// One that an honest device process may send; most numbers are small.
    init(_ input: inout Input) {
        let kind = input.byte()
        let (id, other) = (UInt32(input.byte() & 7), UInt32(input.byte() & 7))
        let box = Box(x: UInt32(input.byte()), y: other, z: 0, width: UInt32(input.byte()), height: id, depth: 1)
        let piece = MemoryPiece(window: other, offset: input.number(bytes: 2), size: input.number(bytes: 2))
        let transfer = Transfer(context: id, resource: other, box: box, offset: piece.offset)
        switch kind % 17 {
        case 0: self = .capabilitySet(id: id, version: other)
        case 1: self = .createContext(id: id, capabilitySet: other, name: input.take(Int(kind >> 4)))
        case 2: self = .destroyContext(id: id)
        case 3: self = .createResource(.init(id: id, target: other, format: 1, bind: 2, width: 16, height: 8))
        case 4: self = .destroyResource(id: id)
        case 5: self = .attachBacking(resource: id, pieces: Array(repeating: piece, count: Int(kind >> 4)))
        case 6: self = .detachBacking(resource: id)
        case 7: self = .attachResource(context: id, resource: other)
        case 8: self = .detachResource(context: id, resource: other)
        case 9: self = .submit(context: id, commands: input.take(Int(kind >> 4) << 2))
        case 10: self = .transferToHost(transfer)
        case 11: self = .transferFromHost(transfer)
        case 12: self = .readPixels(resource: id, box: box, stride: other, to: piece)
        // So long that a few of them fill the ring.
        case 13: self = .submit(context: id, commands: [UInt8](repeating: kind, count: 1 << 20))
        case 14: self = .importBlob(resource: id, kind: kind & 0x80 == 0 ? .sharedMemory : .deviceMemory, piece: piece)
        case 15: self = .contextFence(context: id, ring: other)
        default: self = .fence
        }
    }
}

extension WorkerMessage {
    /// The message's kind and payload.
    var message: (kind: UInt32, payload: [UInt8]) {
        var writer = PayloadWriter()
        let kind = encode(into: &writer)
        return (kind, writer.bytes)
    }

    /// Reads a message; nil when it is none.
    init?(kind: UInt32, payload: [UInt8]) {
        var reader = PayloadReader(payload)
        self.init(kind: kind, payload: &reader)
        guard reader.isExact else { return nil }
    }
}
