import CXen
import Testing

/// The ring of writes that nobody waits for. `struct buffered_iopage`
struct BufferedRequestTests {
    private static func entry(
        _ type: Int, address: UInt64, log2: UInt64, data: UInt64, isRead: Bool = false
    ) -> UInt64 {
        UInt64(type) | (isRead ? 1 << 9 : 0) | log2 << 10 | address << 12 | data << 32
    }

    /// A ring in which so many entries were taken, and so many written.
    private static func withRing(
        taken: UInt32, written: UInt32, _ entries: [Int: UInt64], _ body: (UnsafeMutablePointer<cxen_ring>) -> Void
    ) {
        let ring = UnsafeMutablePointer<cxen_ring>.allocate(capacity: 1)
        ring.initialize(to: cxen_ring())
        ring.pointee.pointers = UInt64(taken) | UInt64(written) << 32
        let words = UnsafeMutableRawPointer(ring).assumingMemoryBound(to: UInt64.self)
        for (index, entry) in entries { words[1 + index] = entry }
        body(ring)
        ring.deallocate()
    }

    private static func take(_ ring: UnsafeMutablePointer<cxen_ring>) -> cxen_request? {
        var request = cxen_request()
        return cxen_take_buffered(ring, &request) ? request : nil
    }

    @Test func anEmptyRingHasNothing() {
        Self.withRing(taken: 7, written: 7, [:]) { #expect(Self.take($0) == nil) }
    }

    @Test func entriesComeInTheirOrder() {
        let first = Self.entry(cxen_type_memory, address: 0xa_0000, log2: 1, data: 0x1234)
        let second = Self.entry(cxen_type_port, address: 0x3c4, log2: 0, data: 0x56)
        Self.withRing(taken: 510, written: 512, [510: first, 0: second]) { ring in
            let (one, two) = (Self.take(ring), Self.take(ring))
            #expect(one?.address == 0xa_0000 && one?.size == 2 && one?.data == 0x1234 && one?.count == 1)
            #expect(one.map { Int($0.type) } == cxen_type_memory && one?.flags == 0)
            #expect(two?.address == 0x3c4 && two?.size == 1 && two?.data == 0x56)
            #expect(Self.take(ring) == nil && ring.pointee.pointers == 512 | 512 << 32)
        }
    }

    @Test func eightBytesAreInTwoEntries() {
        let half = Self.entry(cxen_type_memory, address: 0xb_8000, log2: 3, data: 0x89ab_cdef)
        let rest = Self.entry(cxen_type_memory, address: 0xb_8000, log2: 3, data: 0x0123_4567)
        Self.withRing(taken: 0, written: 2, [0: half, 1: rest]) { ring in
            let request = Self.take(ring)
            #expect(request?.size == 8 && request?.data == 0x0123_4567_89ab_cdef)
            #expect(Self.take(ring) == nil)
        }
    }

    @Test func halfAnEntryIsDropped() {
        let half = Self.entry(cxen_type_memory, address: 0, log2: 3, data: 1)
        Self.withRing(taken: 3, written: 4, [3: half]) { ring in
            #expect(Self.take(ring) == nil && ring.pointee.pointers == 4 | 4 << 32)
        }
    }

    @Test(arguments: [512, UInt32.max]) func moreThanThereIsRoomForIsDropped(count: UInt32) {
        Self.withRing(taken: 0, written: count, [:]) { ring in
            #expect(Self.take(ring) == nil && ring.pointee.pointers == UInt64(count) | UInt64(count) << 32)
        }
    }
}
