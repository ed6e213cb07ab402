import FakeGuest
import GuestMemory
import Linux
import Testing
import VFIO

/// VFIO_USER_DMA_UNMAP
@Suite struct DMAUnmapTests {
    private let bench: Bench
    private let memory: GuestRAM

    init() throws {
        bench = try Bench()
        memory = try GuestRAM(at: 0x10000, size: 0x4000)
        try bench.map(memory)
    }

    private func unmap(
        argsz: UInt32 = 24, flags: UInt32 = 0, address: UInt64 = 0x10000, size: UInt64 = 0x4000
    ) -> [UInt8] {
        wire(argsz, flags, address, size)
    }

    private func bitmap(
        argsz: UInt32 = 48, flags: UInt32 = 1, address: UInt64 = 0x10000, size: UInt64 = 0x4000,
        pageSize: UInt64 = 4096, bytes: UInt64 = 8
    ) -> [UInt8] {
        unmap(argsz: argsz, flags: flags, address: address, size: size) + wire(pageSize, bytes)
    }

    private func startLog() throws {
        let start = wire(UInt32(24), UInt32(0x2_0006), UInt64(4096), UInt32(0), UInt32(0))
        try bench.call(.deviceFeature, start)
    }

    @Test func theReplyRepeatsTheRequestAndTheMemoryIsGone() throws {
        let reply = try bench.call(.dmaUnmap, unmap())
        #expect(reply.payload == unmap())
        #expect(try bench.transfer(Bench.fill, to: 0x10000, length: 1) == 3)
        try bench.expectRefusal(.noSuchFileOrDirectory, of: .dmaUnmap, unmap())
        try bench.map(memory)
    }

    @Test func onlyTheWholeMapCanGo() throws {
        for (address, size) in [(0x10000, 0x3000), (0x11000, 0x3000), (0xf000, 0x5000), (0x10000, 0x5000), (0, 0)] {
            let payload = unmap(address: UInt64(address), size: UInt64(size))
            try bench.expectRefusal(.noSuchFileOrDirectory, of: .dmaUnmap, payload)
        }
        try bench.expectRefusal(.noSuchFileOrDirectory, of: .dmaUnmap, unmap(size: .max))
        try bench.call(.dmaUnmap, unmap())
    }

    @Test func wrongRequestsAreInvalid() throws {
        for payload in [unmap(argsz: 23), unmap(flags: 4), unmap(flags: 2), unmap(flags: 0x8000_0000), unmap(flags: 1)]
            + wrongLengths(of: unmap())
        {
            try bench.expectRefusal(.invalidArgument, of: .dmaUnmap, payload)
        }
        try bench.call(.dmaUnmap, unmap())
    }

    @Test func allMapsGoAtOnce() throws {
        try bench.mapRemote(address: 0x100000, size: 0x1000)
        try bench.expectRefusal(.invalidArgument, of: .dmaUnmap, unmap(flags: 2, address: 0x1000, size: 0))
        try bench.expectRefusal(.invalidArgument, of: .dmaUnmap, unmap(flags: 2, address: 0, size: 0x1000))
        try bench.expectRefusal(.invalidArgument, of: .dmaUnmap, bitmap(flags: 3, address: 0, size: 0))
        try bench.call(.dmaUnmap, unmap(flags: 2, address: 0, size: 0))
        #expect(try bench.transfer(Bench.fill, to: 0x10000, length: 1) == 3)
        #expect(try bench.transfer(Bench.fill, to: 0x100000, length: 1) == 3)
        // None at all is fine, too.
        try bench.call(.dmaUnmap, unmap(flags: 2, address: 0, size: 0))
        try bench.map(memory)
    }

    @Test func theBitmapTellsWhatWasWritten() throws {
        try startLog()
        #expect(try bench.transfer(Bench.fill, to: 0x11fff, length: 2) == 0)
        let reply = try bench.call(.dmaUnmap, bitmap(argsz: 4096, bytes: 4000))
        // The answer says how much of it is used.
        #expect(reply.payload == bitmap() + wire(UInt64(0b0110)))
        try bench.expectRefusal(.noSuchFileOrDirectory, of: .dmaUnmap, unmap())
    }

    @Test func wrongBitmapsAreInvalidAndTheMapStays() throws {
        try startLog()
        for payload in [
            bitmap(argsz: 47), bitmap(argsz: 40), bitmap(bytes: 7), bitmap(bytes: 0), bitmap(pageSize: 0),
            bitmap(pageSize: 3000), bitmap(pageSize: 1), bitmap() + [0], Array(bitmap().dropLast()),
        ] {
            try bench.expectRefusal(.invalidArgument, of: .dmaUnmap, payload)
        }
        try bench.expectRefusal(.noSuchFileOrDirectory, of: .dmaUnmap, bitmap(size: 0x3000))
        try bench.call(.dmaUnmap, bitmap())
    }

    @Test func withoutALogThereIsNoBitmap() throws {
        try bench.expectRefusal(.invalidArgument, of: .dmaUnmap, bitmap())
        try bench.call(.dmaUnmap, unmap())
    }

    @Test func anUnmapThatWantsNoReplyIsCarriedOut() throws {
        try bench.post(.dmaUnmap, unmap())
        #expect(try bench.transfer(Bench.fill, to: 0x10000, length: 1) == 3)
    }

    @Test func theBitmapTellsWhatWasWrittenUntilTheMemoryWasLetGo() throws {
        try startLog()
        let held = Held()
        bench.device.onThread { function, _ in
            held.pin = try? function.host.memory.pin(address: 0x10000, size: 0x4000, access: .write)
        }
        try bench.client.send(.dmaUnmap, bitmap())
        // Whoever holds the memory, as a renderer does, may write to it as long as the unmap waits.
        while bench.device.onThread({ function, _ in function.host.memory.mapCount > 0 }) {}
        bench.device.onThread { _, _ in
            try? held.pin?.store(UInt8(1), at: 0x12000)
            held.pin = nil
        }
        let reply = try #require(try bench.client.receive())
        #expect(reply.payload == bitmap() + wire(UInt64(0b0100)))
    }

    /// Used by the device's thread alone.
    private final class Held: @unchecked Sendable {
        var pin: Pin?
    }
}
