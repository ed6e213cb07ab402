import CXen
import GuestMemory
import Linux
import Testing

@testable import Xen

/// Windows of foreign maps, over a file in the place of a guest.
struct ForeignMemoryTests {
    /// A guest's memory of four windows, of which frames can be taken.
    private final class Guest {
        let file: MemoryFile
        var missing: Set<UInt64> = []
        var maps: [UInt64] = []
        var error: XenError?

        static let windows = 4

        init() throws {
            file = try MemoryFile(name: "guest", size: Self.windows * ForeignWindow.frames * 4096)
        }

        func map(_ first: UInt64) throws(XenError) -> ForeignWindow {
            maps.append(first)
            if let error { throw error }
            let frames = UInt64(ForeignWindow.frames)
            guard first < UInt64(Self.windows) * frames else {
                return ForeignWindow(mapping: file.mapping, present: 0)
            }
            var present: UInt64 = 0
            for frame in 0..<frames where !missing.contains(first + frame) { present |= 1 << frame }
            do throws(Errno) {
                return ForeignWindow(
                    mapping: try Mapping(
                        of: file.descriptor, at: first * 4096, size: ForeignWindow.frames * 4096), present: present)
            } catch {
                throw XenError("a map", error)
            }
        }
    }

    private let guest: Guest
    private let memory: ForeignMemory

    init() throws {
        let guest = try Guest()
        self.guest = guest
        memory = ForeignMemory { (first) throws(XenError) in try guest.map(first) }
    }

    private func read(_ address: UInt64, _ count: Int) throws(DMAError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try memory.read(address, into: &raw)
        return bytes
    }

    private static let window = UInt64(ForeignWindow.frames) * 4096

    @Test func aCopyCrossesFramesAndWindows() throws {
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }
        try memory.write(Self.window - 5000, from: bytes.span.bytes)
        #expect(try read(Self.window - 5000, bytes.count) == bytes)
        var there = [UInt8](repeating: 0, count: bytes.count)
        var span = there.mutableSpan
        var raw = span.mutableBytes
        #expect(guest.file.copy(at: Int(Self.window) - 5000, count: bytes.count, into: &raw))
        #expect(there == bytes)
    }

    @Test func aWindowIsMappedOnce() throws {
        for address in [0, 8, 4096, Self.window - 1, 5] { _ = try read(address, 1) }
        #expect(guest.maps == [0])
    }

    @Test func whatWasDroppedIsMappedAnew() throws {
        _ = try read(0, 1)
        memory.drop()
        _ = try read(0, 1)
        #expect(guest.maps == [0, 0])
    }

    @Test func aMissingFrameIsAnErrorOfTheAccessThatReachesIt() throws {
        guest.missing = [2]
        #expect(throws: DMAError.fault(address: 2 * 4096)) { try read(4096 + 4000, 97) }
        #expect(try read(4096 + 4000, 96).count == 96)
        #expect(throws: DMAError.fault(address: 2 * 4096)) {
            try memory.write(2 * 4096, from: [1].span.bytes)
        }
    }

    @Test func aFrameThatComesLaterIsFound() throws {
        guest.missing = [2]
        #expect(throws: DMAError.self) { try read(2 * 4096, 1) }
        guest.missing = []
        #expect(try read(2 * 4096, 1) == [0])
    }

    @Test func aRefusalOfXensIsTold() throws {
        guest.error = XenError("a map", .notPermitted)
        #expect(throws: DMAError.remote(address: 77, .notPermitted)) { try read(77, 1) }
    }

    @Test func nothingIsBeyondAllMemory() throws {
        #expect(throws: DMAError.fault(address: 4 * Self.window)) { try read(4 * Self.window - 1, 2) }
        #expect(throws: DMAError.fault(address: UInt64(1) << 50)) { try read(1 << 50, 1) }
    }

    @Test func noMoreWindowsAreKeptThanThereIsRoomFor() throws {
        let file = guest.file
        var maps = 0
        let memory = ForeignMemory { (_) throws(XenError) in
            maps += 1
            return ForeignWindow(mapping: file.mapping, present: .max)
        }
        func touch(_ window: Int) throws {
            try memory.write(UInt64(window) * Self.window, from: [1].span.bytes)
        }
        for window in 0...ForeignMemory.maximumWindows { try touch(window) }
        #expect(maps == ForeignMemory.maximumWindows + 1)
        // The oldest has made room.
        try touch(1)
        #expect(maps == ForeignMemory.maximumWindows + 1)
        try touch(0)
        #expect(maps == ForeignMemory.maximumWindows + 2)
    }

    // MARK: What is told of writes

    private final class Told {
        var extents: [[ClosedRange<UInt64>]] = []
    }

    private func telling() -> (ForeignMemory, Told) {
        let (guest, told) = (guest, Told())
        let memory = ForeignMemory(
            map: { (first) throws(XenError) in try guest.map(first) },
            tell: { extents in
                told.extents.append(
                    extents.indices.map {
                        extents[$0].first...extents[$0].first + UInt64(extents[$0].count) - 1
                    })
            })
        return (memory, told)
    }

    @Test func whatWasWrittenIsToldOnce() throws {
        let (memory, told) = telling()
        memory.tellWritten()
        #expect(told.extents.isEmpty)
        try memory.write(5 * 4096 - 1, from: [UInt8](repeating: 1, count: 4098).span.bytes)
        try memory.write(6 * 4096, from: [1].span.bytes)
        try memory.write(9 * 4096, from: [1].span.bytes)
        var byte: [UInt8] = [0]
        var span = byte.mutableSpan
        var raw = span.mutableBytes
        try memory.read(20 * 4096, into: &raw)
        memory.tellWritten()
        memory.tellWritten()
        #expect(told.extents == [[4...6, 9...9]])
    }

    @Test func moreThanThereIsRoomForIsToldAtOnce() throws {
        let (memory, told) = telling()
        for frame in 0..<UInt64(33) { try memory.write(2 * frame * 4096, from: [1].span.bytes) }
        memory.tellWritten()
        #expect(told.extents.map(\.count) == [32, 1])
    }

    @Test func whatCouldNotBeWrittenIsNotTold() throws {
        let (memory, told) = telling()
        guest.missing = [2]
        #expect(throws: DMAError.self) { try memory.write(2 * 4096, from: [1].span.bytes) }
        memory.tellWritten()
        #expect(told.extents.isEmpty)
    }
}
