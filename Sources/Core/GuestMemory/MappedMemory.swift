import Alteration
import Linux
import Tap

/// Memory that a device reaches by I/O virtual address: an ``AddressSpace`` with all that is mapped, or a
/// ``Pin`` with a part that stays.
///
/// An access may run across maps that adjoin; it is done piece by piece then. One that fails may have moved
/// the bytes before the failure, as on a bus. The guest can change any byte at any time: copy once, then check
/// the copy. Nothing here allocates.
public class MappedMemory {
    // One thread, and nothing calls out while it accesses either of these: the check at run time, a third of the
    // cost of a short read, would find nothing.
    @exclusivity(unchecked) final var maps = MapTable()
    /// The map of the last access: most are near the one before.
    @exclusivity(unchecked) private final var recent = Window.none
    final let log: DirtyLog
    final let gate: Gate
    /// What was copied, by this and by all that came from the same address space.
    public final let traffic: Traffic

    init(log: DirtyLog, gate: Gate, traffic: Traffic) {
        self.log = log
        self.gate = gate
        self.traffic = traffic
    }

    /// To be called after a removal from ``maps``, and when the gate closes.
    final func forgetRecent() {
        recent = .none
    }

    /// Copies guest memory to `buffer`, which may be empty. 2, 4 and 8 bytes at an aligned address, to an
    /// aligned buffer, are one atomic access.
    public final func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(DMAError) {
        guard let base = buffer.baseAddress, buffer.count > 0 else { return }
        try move(.read, address, base, buffer.count)
    }

    /// Copies guest memory to `span`, which may be empty.
    public final func read(at address: UInt64, into span: inout MutableRawSpan) throws(DMAError) {
        try span.withUnsafeMutableBytes { buffer throws(DMAError) in try read(at: address, into: buffer) }
    }

    /// Copies `count` bytes of guest memory to those of other memory from `offset` on, which must lie inside.
    public final func read(at address: UInt64, count: Int, into target: MappedBytes, at offset: Int) throws(DMAError) {
        precondition(count >= 0 && offset >= 0 && offset <= target.size && count <= target.size - offset)
        // SAFETY: the range is checked; the memory's size is fixed and its mapping lives as long as it does.
        try read(at: address, into: UnsafeMutableRawBufferPointer(start: target.mapping.base + offset, count: count))
    }

    /// Copies `bytes`, which may be empty, to guest memory. 2, 4 and 8 aligned bytes to an aligned address
    /// are one atomic access.
    public final func write(at address: UInt64, from bytes: UnsafeRawBufferPointer) throws(DMAError) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        // SAFETY: a write only reads what it is given here.
        try move(.write, address, UnsafeMutableRawPointer(mutating: base), bytes.count)
    }

    /// Copies `span`, which may be empty, to guest memory.
    public final func write(at address: UInt64, from span: RawSpan) throws(DMAError) {
        try span.withUnsafeBytes { bytes throws(DMAError) in try write(at: address, from: bytes) }
    }

    /// The value at `address`. For types of which every bit pattern is a value: integers, and structures of
    /// them. Integers at an aligned address are read by one atomic access.
    @inlinable
    public final func load<Value: BitwiseCopyable>(_: Value.Type, at address: UInt64) throws(DMAError) -> Value {
        // Before Swift 6.3 this function of the standard library lost the type of what is thrown.
        let value = withUnsafeTemporaryAllocation(
            byteCount: MemoryLayout<Value>.size, alignment: MemoryLayout<Value>.alignment
        ) { buffer in
            Result { () throws(DMAError) in
                try read(at: address, into: buffer)
                // SAFETY: the buffer has the type's size and alignment, and read has filled it.
                return buffer.load(as: Value.self)
            }
        }
        return try value.get()
    }

    /// Writes `value`. Integers at an aligned address are written by one atomic access.
    @inlinable
    public final func store<Value: BitwiseCopyable>(_ value: Value, at address: UInt64) throws(DMAError) {
        // SAFETY: the bytes of a local value, which write only reads.
        try withUnsafeBytes(of: value) { bytes throws(DMAError) in try write(at: address, from: bytes) }
    }

    /// Moves `count` bytes, at least 1, between guest memory and `local`.
    private final func move(
        _ direction: DMAAccess, _ address: UInt64, _ local: UnsafeMutableRawPointer, _ count: Int
    ) throws(DMAError) {
        guard traffic.isWatched else { return try carry(direction, address, local, count) }
        do throws(DMAError) {
            if let alterer = traffic.alterer {
                try carry(direction, address, local, count, alteredBy: alterer)
            } else {
                try carry(direction, address, local, count)
                note(direction, address, local, count)
            }
        } catch {
            traffic.tap?.note(.memoryFault(address: error.address))
            throw error
        }
    }

    /// Shows the tap what was moved.
    private final func note(
        _ direction: DMAAccess, _ address: UInt64, _ local: UnsafeMutableRawPointer, _ count: Int
    ) {
        // SAFETY: the caller's buffer, of `count` bytes, is valid until the access is done.
        let bytes = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: local, count: count))
        traffic.tap?.note(direction == .read ? .memoryRead(address: address) : .memoryWrite(address: address), bytes)
    }

    private final func carry(
        _ direction: DMAAccess, _ address: UInt64, _ local: UnsafeMutableRawPointer, _ count: Int,
        alteredBy alterer: any Alterer
    ) throws(DMAError) {
        if direction == .read { try carry(direction, address, local, count) }
        // SAFETY: as in note(_:_:_:_:).
        let bytes = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: local, count: count))
        let passage = direction == .read ? Passage.memoryRead(address: address) : .memoryWrite(address: address)
        var altered: [UInt8]?
        switch alterer.alteration(of: passage, bytes) {
        case .refuse(let errno)?: throw .remote(address: address, errno)
        case .drop?: return
        case .change(let change)?: altered = change.changed(bytes)
        case .again?, nil: break
        }
        guard var altered else {
            if direction == .write { try carry(direction, address, local, count) }
            return note(direction, address, local, count)
        }
        var span = altered.mutableSpan
        var raw = span.mutableBytes
        try raw.withUnsafeMutableBytes { buffer throws(DMAError) in
            guard let base = buffer.baseAddress else { return }
            if direction == .read {
                // SAFETY: the copy has as many bytes as the caller's buffer.
                local.copyMemory(from: base, byteCount: count)
            } else {
                try carry(direction, address, base, count)
            }
            note(direction, address, base, count)
        }
    }

    private final func carry(
        _ direction: DMAAccess, _ address: UInt64, _ local: UnsafeMutableRawPointer, _ count: Int
    ) throws(DMAError) {
        guard UInt64(count - 1) <= UInt64.max - address else {
            throw .invalidRange(address: address, size: UInt64(count))
        }
        var address = address
        var local = local
        var left = count
        while true {
            let window = try window(at: address, for: direction)
            let piece = Int(min(UInt64(left - 1), window.last - address)) + 1
            if let host = window.host {
                // SAFETY: `address` lies in the window, and the piece ends inside it, so both ends of the copy
                // are mapped. The region keeps its mapping; nothing on this thread unmaps meanwhile.
                let there = host + Int(address - window.start)
                do throws(Errno) {
                    if direction == .read {
                        try GuardedCopy.copy(to: local, from: there, count: piece)
                        traffic.bytesRead &+= UInt64(piece)
                    } else {
                        log.mark(address, through: address + UInt64(piece - 1))
                        try GuardedCopy.copy(to: there, from: local, count: piece)
                        traffic.bytesWritten &+= UInt64(piece)
                    }
                } catch {
                    throw .fault(address: address)
                }
            } else {
                try moveRemotely(direction, address, UnsafeMutableRawBufferPointer(start: local, count: piece))
            }
            left -= piece
            if left == 0 { return }
            address += UInt64(piece)
            local += piece
        }
    }

    /// The map at `address`, when it and the gate allow the access.
    @inline(__always)
    final func window(at address: UInt64, for access: DMAAccess) throws(DMAError) -> Window {
        if !recent.contains(address) {
            guard gate.isOpen else { throw .notBusMaster(address: address) }
            guard let window = maps.window(at: address) else { throw .notMapped(address: address) }
            recent = window
        }
        guard recent.access.isSuperset(of: access) else { throw .denied(address: address, access: access) }
        return recent
    }

    private final func moveRemotely(
        _ direction: DMAAccess, _ address: UInt64, _ local: UnsafeMutableRawBufferPointer
    ) throws(DMAError) {
        guard case .remote(let remote) = maps.region(at: address)?.source else {
            throw .notMapped(address: address)
        }
        // SAFETY: the caller's buffer is valid until the access is done.
        if direction == .read {
            var target = MutableRawSpan(_unsafeBytes: local)
            try remote.read(address, into: &target)
        } else {
            log.mark(address, through: address + UInt64(local.count - 1))
            try remote.write(address, from: RawSpan(_unsafeBytes: UnsafeRawBufferPointer(local)))
        }
    }
}
