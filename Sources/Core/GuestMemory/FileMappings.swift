import Linux

/// The files behind maps, each mapped into this process once, however many maps show parts of it.
///
/// A guest's memory is one memfd behind many maps. With a mapping for each, 65,535 of them would run into
/// `vm.max_map_count`, and with a descriptor for each into EMFILE. So no descriptor is kept, but for a device that hands
/// guest memory on to another process.
final class FileMappings {
    /// Less than `vm.max_map_count`, so that a client which sends thousands of files leaves room for the
    /// process's own memory.
    static let maximumCount = 32_768
    /// In bytes, half of what a process can address, for the same reason.
    static let maximumSize: UInt64 = 1 << 46
    /// Of how many mappings the descriptors are kept, at most: what is behind the rest can't be handed on.
    static let maximumDescriptors = 256

    /// Whether descriptors are kept, of mappings that are made from now on.
    var keepsDescriptors = false
    private var descriptors = 0

    /// Which mappings show the same bytes with the same rights.
    struct Key: Hashable {
        var device: UInt64
        var inode: UInt64
        var writable: Bool
    }

    private struct Entry {
        weak var mapping: FileMapping?
    }

    private var shared: [Key: Entry] = [:]
    /// Mappings that exist, those of which only pins know among them.
    private(set) var count = 0
    private var size: UInt64 = 0

    init() {
        GuardedCopy.install()
    }

    /// A mapping that contains `size` bytes of a file from `offset` on.
    ///
    /// Bytes between the end of a file and the end of its last page count as its own.
    func mapping(
        of descriptor: borrowing Descriptor, offset: UInt64, size: UInt64, access: DMAAccess
    ) throws(MapError) -> FileMapping {
        guard offset % pageSize == 0 else { throw .unalignedOffset(offset) }
        guard descriptor.isMemory() else { throw descriptor.holdsBytes() ? .notMemory : .noFile }
        let status: Descriptor.Status
        do throws(Errno) { status = try descriptor.status() } catch { throw .system(error) }
        // mmap(2) wants a shared file readable, whatever the access.
        guard status.isReadable, status.isWritable || !access.contains(.write) else { throw .fileAccess(access) }
        let fileSize = (status.size &+ (pageSize - 1)) & ~(pageSize - 1)
        guard offset <= fileSize, size <= fileSize - offset else {
            throw .beyondEndOfFile(offset: offset, size: size, fileSize: status.size)
        }
        let key = Key(device: status.device, inode: status.inode, writable: access.contains(.write))
        if let mapping = shared[key]?.mapping, offset + size <= mapping.size { return mapping }
        let mapping = try FileMapping(of: descriptor, size: fileSize, access: access, key: key, for: self)
        shared[key] = Entry(mapping: mapping)
        return mapping
    }

    /// A copy of a descriptor to keep; nil when none is wanted, or there is no room for one.
    fileprivate func keep(_ descriptor: borrowing Descriptor) -> KeptDescriptor? {
        guard keepsDescriptors, descriptors < Self.maximumDescriptors, let copy = try? descriptor.duplicate() else {
            return nil
        }
        descriptors += 1
        return KeptDescriptor(copy)
    }

    fileprivate func reserve(_ size: UInt64) throws(MapError) {
        guard count < Self.maximumCount, size <= Self.maximumSize - self.size else { throw .system(.noMemory) }
        count += 1
        self.size += size
    }

    fileprivate func giveBack(_ size: UInt64, withDescriptor: Bool = false) {
        count -= 1
        if withDescriptor { descriptors -= 1 }
        self.size -= size
    }

    /// Called when a shared mapping is gone; another one may have replaced it before.
    fileprivate func forget(_ key: Key) {
        if shared[key]?.mapping == nil { shared[key] = nil }
    }
}

/// A descriptor that may be there or not.
final class KeptDescriptor {
    let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }
}

/// A file, mapped into this process until the last map and pin that use it go.
final class FileMapping {
    private let mapping: Mapping
    private let key: FileMappings.Key
    private weak var owner: FileMappings?
    /// The file, where somebody may have to be given it.
    let kept: KeptDescriptor?

    /// In bytes.
    var size: UInt64 { UInt64(mapping.size) }

    fileprivate init(
        of descriptor: borrowing Descriptor, size: UInt64, access: DMAAccess, key: FileMappings.Key,
        for owner: FileMappings
    ) throws(MapError) {
        guard let length = Int(exactly: size) else { throw .system(.noMemory) }
        try owner.reserve(size)
        do throws(Errno) {
            mapping = try Mapping(
                of: descriptor, size: length, access: access.contains(.write) ? [.read, .write] : .read)
        } catch {
            owner.giveBack(size)
            throw .system(error)
        }
        self.key = key
        self.owner = owner
        kept = owner.keep(descriptor)
    }

    deinit {
        owner?.giveBack(size, withDescriptor: kept != nil)
        owner?.forget(key)
    }

    /// The byte at `offset` of the file.
    func pointer(at offset: UInt64) -> UnsafeMutableRawPointer {
        // SAFETY: the caller has asked FileMappings for a range that begins here, so it lies inside.
        mapping.base + Int(offset)
    }

    /// Where in the file a byte of the mapping is.
    func offset(of pointer: UnsafeMutableRawPointer) -> UInt64 {
        UInt64(pointer - mapping.base)
    }
}
