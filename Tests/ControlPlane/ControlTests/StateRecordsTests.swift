import Device
import Linux
import Programs
import SharedRing
import Tap
import Testing

@testable import Control

/// A state goes into a recording piece by piece, and no guest has one piece take long.
@Suite struct StateRecordsTests {
    private let device: MemoryDevice
    private let function: Function

    init() throws {
        let host = Host(loop: try EventLoop())
        device = try MemoryDevice(options: DeviceOptions(for: MemoryDevice.type), host: host)
        function = try Function(device, host: host)
    }

    private func records() throws -> StateRecords {
        try StateRecords(of: { [function] in function }) { 5 }
    }

    /// What the memory's first bytes are in a state, at each mebibyte.
    private func bytes(_ pieces: [RecordPiece]) -> [UInt8] {
        var state: [UInt8] = []
        for record in pieces.compactMap(\.record) where record.kind == .state {
            state += [UInt8](repeating: 0, count: Int(record.offset) - state.count)
            state += record.bytes
        }
        // Behind the memory there are the 24 bytes that say that no more follows.
        let start = state.count - MemoryDevice.size - 24
        return (0..<10).map { state[start + $0 << 20] }
    }

    @Test func zerosAreAPieceLikeAnyOther() throws {
        device.fill(0)
        let records = try records()
        var pieces: [RecordPiece] = []
        while let piece = try records.next() { pieces.append(piece) }
        #expect(pieces.allSatisfy { $0.cost <= Record.maximumLength })
        #expect(pieces.count { $0.record == nil } >= MemoryDevice.size / Record.maximumBytes - 2)
        #expect(pieces.compactMap(\.record).allSatisfy { $0.number == 5 })
    }

    /// What was taken at once isn't what is there later.
    @Test func memoryThatIsNeverLeftAloneIsRecordedAllTheSame() throws {
        let records = try records()
        for round in 1..<StateSaving.mostBeginnings {
            device.fill(UInt8(round))
            while let piece = try records.next(), piece.record?.kind != .state {}
            try device.memory[0].clear()
        }
        device.fill(100)
        var pieces: [RecordPiece] = []
        while let piece = try records.next() {
            pieces.append(piece)
            if pieces.count == 1 { device.fill(200) }
        }
        #expect(bytes(pieces) == Array(repeating: 100, count: 10))
    }

    // MARK: By the control socket

    private func receive(_ peer: borrowing RawPeer, _ descriptors: inout ReceivedDescriptors) throws -> String? {
        while try !peer.socket.waitReadable(within: .zero) { try function.host.loop.dispatch(within: .seconds(10)) }
        let buffer = try PageBuffer(count: 1 << 16)
        switch try peer.socket.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: false) {
        case .bytes(let count, _, _):
            return buffer.bytes(0..<count).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        case .endOfFile: return nil
        case .nothing: return ""
        }
    }

    /// Nor does the device's thread go round for them.
    @Test func whoBreaksTheRingsRulesLosesTheConnectionAndOthersCanRecord() throws {
        // More than the ring takes.
        device.fill(1)
        let path = temporaryPath()
        let delegate = DeviceProcess.Delegate(function)
        let server = try ControlServer(UnixListener(path: path), loop: function.host.loop, delegate: delegate)
        for _ in 0..<2 {
            let peer = try RawPeer(path)
            peer.socket.setTakesDescriptors(true)
            try peer.send(#"{"version":1,"request":"record","lossless":true}"# + "\n")
            var descriptors = ReceivedDescriptors()
            #expect(try receive(peer, &descriptors)?.contains("result") == true)
            guard let file = descriptors.take(0) else { throw Errno.invalidArgument }
            let ring = try SharedRing(adopting: file, size: Int(RecordStream.capacity))
            ring.release(.head, 1 << 31)
            try peer.send(#"{"version":1,"request":"end-recording"}"# + "\n")
            var last: String? = ""
            while last != nil { last = try receive(peer, &descriptors) }
            #expect(function.host.tap == nil)
        }
        withExtendedLifetime((server, delegate)) {}
    }
}
