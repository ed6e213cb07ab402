import Glibc
import Synchronization

/// Copies in, out and across. The bytes may change meanwhile, by the hand of whoever else maps the memory:
/// a copy then holds some bytes from before and some from after, and is checked as a copy.
///
/// The size is fixed, so no access can fault. A range that leaves the memory is refused, and nothing is touched.
extension MappedBytes {
    /// Copies `count` bytes from `offset` on to the front of `bytes`.
    ///
    /// - Returns: false when they don't lie inside the memory, or there is no room for them.
    @discardableResult
    public func copy(at offset: Int, count: Int, into bytes: inout MutableRawSpan) -> Bool {
        guard contains(offset, count: count), count <= bytes.byteCount else { return false }
        // SAFETY: both ranges are checked, and this process's own mapping overlaps no span.
        bytes.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            memcpy(base, mapping.base + offset, count)
        }
        return true
    }

    /// Replaces the bytes from `offset` on.
    ///
    /// - Returns: false when they don't lie inside the memory.
    @discardableResult
    public func replace(at offset: Int, with bytes: RawSpan) -> Bool {
        guard contains(offset, count: bytes.byteCount) else { return false }
        // SAFETY: as above.
        bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            memcpy(mapping.base + offset, base, bytes.count)
        }
        writes?.noteOwnWrite()
        return true
    }

    /// Stores a number by one access, so that whoever reads it meanwhile finds the old or the new one.
    ///
    /// - Parameter offset: a multiple of 8.
    /// - Returns: false when it doesn't lie inside the memory, or is no multiple.
    @discardableResult
    public func publish(_ number: UInt64, at offset: Int) -> Bool {
        guard contains(offset, count: 8), offset & 7 == 0 else { return false }
        writes?.noteOwnWrite()
        // SAFETY: inside the mapping and aligned; Atomic<UInt64> has the representation of UInt64.
        (mapping.base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee.store(number, ordering: .releasing)
        return true
    }

    /// The number at an offset, by one access.
    ///
    /// - Parameter offset: a multiple of 8.
    /// - Returns: nil when it doesn't lie inside the memory, or is no multiple.
    public func number(at offset: Int) -> UInt64? {
        guard contains(offset, count: 8), offset & 7 == 0 else { return nil }
        // SAFETY: as above.
        return (mapping.base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .acquiring)
    }

    /// Replaces `count` bytes from `offset` on by those of another memory.
    ///
    /// - Returns: false when they don't lie inside both memories.
    @discardableResult
    public func replace(at offset: Int, with other: MappedBytes, at otherOffset: Int, count: Int) -> Bool {
        guard contains(offset, count: count), other.contains(otherOffset, count: count) else { return false }
        // SAFETY: both ranges are checked; memmove, for both may be the same memory.
        memmove(mapping.base + offset, other.mapping.base + otherOffset, count)
        writes?.noteOwnWrite()
        return true
    }

    /// Makes `count` bytes from `offset` on zero.
    ///
    /// - Returns: false when they don't lie inside the memory.
    @discardableResult
    public func clear(at offset: Int, count: Int) -> Bool {
        guard contains(offset, count: count) else { return false }
        noteClearing()
        // SAFETY: the range is checked.
        memset(mapping.base + offset, 0, count)
        return true
    }

    /// Whether `count` bytes from `offset` on are those of another memory.
    ///
    /// - Returns: false also when they don't lie inside both memories.
    public func equals(at offset: Int, _ other: MappedBytes, at otherOffset: Int, count: Int) -> Bool {
        guard contains(offset, count: count), other.contains(otherOffset, count: count) else { return false }
        // SAFETY: both ranges are checked.
        return memcmp(mapping.base + offset, other.mapping.base + otherOffset, count) == 0
    }

    private func contains(_ offset: Int, count: Int) -> Bool {
        offset >= 0 && offset <= size && count >= 0 && count <= size - offset
    }
}
