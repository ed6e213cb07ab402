import Glibc

/// Page-aligned bytes of this process alone, fixed in size, that are touched only where they are
/// used: a large buffer for messages that are mostly small.
public struct PageBuffer: ~Copyable {
    private let memory: UnsafeMutableRawBufferPointer

    /// The size in bytes.
    public var count: Int { memory.count }

    /// - Parameter count: in bytes, at least 1.
    /// - Throws: `mmap(2)`'s error.
    public init(count: Int) throws(Errno) {
        // SAFETY: private, zeroed memory that only this value knows and its deinit unmaps.
        let base = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let base, base != MAP_FAILED else { throw .current }
        memory = UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    deinit {
        munmap(memory.baseAddress, memory.count)
    }

    /// All of the buffer, to read.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        borrowing get { _overrideLifetime(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory)), borrowing: self) }
    }

    /// All of the buffer, to change.
    public var mutableBytes: MutableRawSpan {
        @_lifetime(&self)
        mutating get { _overrideLifetime(MutableRawSpan(_unsafeBytes: memory), mutating: &self) }
    }

    /// The address, for system calls in this module.
    var pointer: UnsafeMutableRawPointer { memory.baseAddress! }

    /// Moves `range` to the front.
    public mutating func moveToFront(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        memmove(pointer, pointer + range.lowerBound, range.count)
    }
}
