import Glibc
import Linux
import VFIOUserClient

/// A guest's memory: a memfd that can be handed to the device, and the same bytes by message.
public final class GuestRAM: ClientMemory {
    /// The I/O virtual address of its first byte.
    public let address: UInt64
    public let file: MemoryFile

    /// - Parameter size: in bytes.
    public init(at address: UInt64, size: Int) throws(Errno) {
        self.address = address
        file = try MemoryFile(name: "guest RAM", size: size)
    }

    /// Bytes from an offset into the memory on.
    public func bytes(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        file.copy(at: offset, count: count, into: &raw)
        return bytes
    }

    /// A number of up to 8 bytes, little-endian, at an offset into the memory.
    public func load<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, at offset: Int) -> Value {
        var number: InlineArray<1, UInt64> = [0]
        var span = number.mutableSpan
        var raw = span.mutableBytes
        file.copy(at: offset, count: MemoryLayout<Value>.size, into: &raw)
        return Value(truncatingIfNeeded: UInt64(littleEndian: number[0]))
    }

    public func store(_ bytes: [UInt8], at offset: Int) {
        file.replace(at: offset, with: bytes.span.bytes)
    }

    // MARK: ClientMemory

    public func read(at address: UInt64, into target: inout MutableRawSpan) throws(Errno) {
        guard let offset = offset(of: address), file.copy(at: offset, count: target.byteCount, into: &target) else {
            throw .badAddress
        }
    }

    public func write(at address: UInt64, from bytes: RawSpan) throws(Errno) {
        guard let offset = offset(of: address), file.replace(at: offset, with: bytes) else { throw .badAddress }
    }

    private func offset(of address: UInt64) -> Int? {
        address < self.address ? nil : Int(exactly: address - self.address)
    }
}

/// Memory of the guest's that a hostile client can cut off under the device.
public func shrinkableMemory(size: Int) throws(Errno) -> Descriptor {
    // Another name of the system's for a file of tmpfs.
    let name = "/guest-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    let descriptor = Descriptor(owning: shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0o600))
    shm_unlink(name)
    guard ftruncate(descriptor.raw, off_t(size)) == 0 else { throw Errno(rawValue: errno) }
    return descriptor
}
