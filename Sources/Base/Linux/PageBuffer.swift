import Glibc

/// Page-aligned bytes of this process alone, fixed in size, that take memory only where they are
/// used: a large buffer for messages that are mostly small.
///
/// Different parts may be in use at the same time (a message in hand, and what arrives behind it), so the
/// spans it gives out are not exclusive: whoever owns the buffer says who writes where.
public final class PageBuffer {
    @usableFromInline let memory: UnsafeMutableRawBufferPointer

    /// The size in bytes.
    public let count: Int

    /// - Parameter count: in bytes, at least 1.
    /// - Throws: `mmap(2)`'s error.
    public init(count: Int) throws(Errno) {
        // SAFETY: private, zeroed memory that only this value knows and its deinit unmaps.
        let base = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let base, base != MAP_FAILED else { throw .current }
        memory = UnsafeMutableRawBufferPointer(start: base, count: count)
        self.count = count
    }

    deinit {
        munmap(memory.baseAddress, memory.count)
    }

    /// A part of the buffer, to read.
    ///
    /// The compiler can't tie a span to an object that a class holds. So the span is bound to nothing here;
    /// the holder hands it on bound to itself.
    @inlinable @_lifetime(immortal)
    public func bytes(_ range: Range<Int>) -> RawSpan {
        // SAFETY: the range is checked against the memory; the holder keeps this object alive.
        let part = UnsafeRawBufferPointer(rebasing: memory[range])
        return _overrideLifetime(RawSpan(_unsafeBytes: part), copying: ())
    }

    /// A part of the buffer, to change.
    @inlinable @_lifetime(immortal)
    public func mutableBytes(_ range: Range<Int>) -> MutableRawSpan {
        // SAFETY: as above; that nobody else uses this part is the holder's to say.
        let part = UnsafeMutableRawBufferPointer(rebasing: memory[range])
        return _overrideLifetime(MutableRawSpan(_unsafeBytes: part), copying: ())
    }

    /// The address of a byte, for system calls in this module.
    func address(of position: Int) -> UnsafeMutableRawPointer {
        precondition(position >= 0 && position <= count)
        return memory.baseAddress! + position
    }

    /// Moves the bytes of `range` to `position`; they may overlap.
    public func move(_ range: Range<Int>, to position: Int) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count && position <= count - range.count)
        memmove(address(of: position), address(of: range.lowerBound), range.count)
    }
}
