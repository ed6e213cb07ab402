import Device
import Glibc
import JSON
import Linux
import Programs
import Testing

@testable import Control

@Suite struct StateSavingTests {
    private func made() throws -> (device: MemoryDevice, function: Function) {
        let host = Host(loop: try EventLoop())
        let device = try MemoryDevice(options: DeviceOptions(for: MemoryDevice.type), host: host)
        return (device, try Function(device, host: host))
    }

    /// A device that goes on from a saved state.
    private func restored(_ saved: (file: MemoryFile, size: Int)) throws -> MemoryDevice {
        let (device, function) = try made()
        try restore(function, from: saved)
        return device
    }

    private func restore(_ function: Function, from saved: (file: MemoryFile, size: Int)) throws {
        let writer = StateWriter(function)
        try writer.write(contents(of: saved.file, count: saved.size).span.bytes)
        try writer.finish()
    }

    /// Has a state saved to its end.
    private func saved(_ saving: StateSaving) throws -> (pieces: Int, state: (file: MemoryFile, size: Int)) {
        var pieces = 1
        while true {
            if let state = try saving.next() { return (pieces, state) }
            pieces += 1
        }
    }

    @Test func registersAreOfTheBeginningAndMemoryMayBeOfLater() throws {
        let (device, function) = try made()
        device.value = 1
        device.fill(1)
        let saving = StateSaving { function }
        #expect(try saving.next() == nil)
        device.value = 2
        device.fill(2)
        let (pieces, state) = try saved(saving)
        #expect(pieces == 2, "three, with the first")
        let other = try restored(state)
        #expect(other.value == 1)
        #expect(other.bytes == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2])
    }

    @Test func memoryThatIsGivenBackMeanwhileBeginsItAnew() throws {
        let (device, function) = try made()
        device.value = 1
        device.fill(1)
        let saving = StateSaving { function }
        #expect(try saving.next() == nil)
        device.value = 2
        try device.memory[0].clear(8 << 20..<9 << 20)
        // Somebody else's now.
        device.memory[0].replace(at: 8 << 20, with: [3].span.bytes)
        let other = try restored(try saved(saving).state)
        #expect(other.value == 2)
        #expect(other.bytes == [1, 1, 1, 1, 1, 1, 1, 1, 3, 1])
    }

    @Test func anotherStateThatIsLoadedMeanwhileBeginsItAnew() throws {
        let (device, function) = try made()
        device.value = 5
        device.fill(5)
        let before = try saved(StateSaving { function }).state
        device.value = 1
        device.fill(1)
        let saving = StateSaving { function }
        #expect(try saving.next() == nil)
        try restore(function, from: before)
        let other = try restored(try saved(saving).state)
        #expect(other.value == 5)
        #expect(other.bytes == Array(repeating: 5, count: 10))
    }

    @Test func memoryThatIsNeverLeftAloneIsSavedAllTheSame() throws {
        let (device, function) = try made()
        let saving = StateSaving { function }
        for round in 1..<StateSaving.mostBeginnings {
            device.value = round
            device.fill(UInt8(round))
            #expect(try saving.next() == nil)
            try device.memory[0].clear()
        }
        device.value = 100
        device.fill(100)
        let other = try restored(try #require(try saving.next()))
        #expect(other.value == 100)
        #expect(other.bytes == Array(repeating: 100, count: 10))
    }

    // MARK: By the control socket

    private func withServer(_ body: (MemoryDevice, EventLoop, String) throws -> Void) throws {
        let (device, function) = try made()
        let loop = function.host.loop
        let delegate = DeviceProcess.Delegate(function)
        let path = temporaryPath()
        let server = try ControlServer(UnixListener(path: path), loop: loop, delegate: delegate)
        try body(device, loop, path)
        withExtendedLifetime((server, delegate)) {}
    }

    private func waitFor(_ peer: borrowing RawPeer, _ loop: EventLoop) throws {
        while try !peer.socket.waitReadable(within: .zero) { try loop.dispatch(within: .seconds(10)) }
    }

    private static let request = #"{"version":1,"request":"save"}"# + "\n"

    @Test func othersAreServedBetweenThePieces() throws {
        try withServer { device, loop, path in
            device.fill(1)
            let first = try RawPeer(path)
            let second = try RawPeer(path)
            first.socket.setTakesDescriptors(true)
            try first.send(Self.request)
            // Accepts both, takes the request, and saves a piece.
            for _ in 0..<3 { try loop.dispatch(within: .zero) }
            try second.send(#"{"version":1,"request":"statistics"}"# + "\n")
            try waitFor(second, loop)
            #expect(try !first.socket.waitReadable(within: .zero))
            #expect(try second.lines(1).first?["result"] != nil)
            try waitFor(first, loop)
            let size = try first.lines(1).first?["result"]?["size"]?.int
            #expect((MemoryDevice.size..<MemoryDevice.size + 4096).contains(size ?? 0))
        }
    }

    @Test func whoLeavesMeanwhileLeavesNothingToDo() throws {
        try withServer { device, loop, path in
            device.fill(1)
            do {
                let peer = try RawPeer(path)
                try peer.send(Self.request)
                for _ in 0..<3 { try loop.dispatch(within: .zero) }
            }
            let next = try RawPeer(path)
            next.socket.setTakesDescriptors(true)
            try next.send(Self.request)
            try waitFor(next, loop)
            #expect(try next.lines(1).first?["result"]?["size"]?.int != nil)
        }
    }
}
