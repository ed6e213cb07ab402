import Linux

/// The files behind maps, each open and mapped in this process once, however many maps show parts of it.
///
/// A guest's memory is one memfd behind many maps. With a mapping for each, 65,535 of them would run into
/// `vm.max_map_count`, and with a descriptor for each into EMFILE. The descriptor is kept for whoever must be given the
/// memory: another process that the device has draw, or one that goes on where this one ends.
final class FileMappings {
    /// Less than `vm.max_map_count`, so that a client which sends thousands of files leaves room for the
    /// process's own memory.
    private let maximumCount: Int
    /// In bytes, for the same reason.
    private let maximumSize: UInt64
    /// Half of what a process can address.
    private static let mappableSize: UInt64 = 1 << 46

    /// A file, as the kernel tells it from others.
    struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    /// Which mappings show the same bytes with the same rights.
    struct Key: Hashable {
        var file: Identity
        var writable: Bool
    }

    private struct Entry {
        weak var mapping: FileMapping?
    }

    private struct OpenEntry {
        weak var file: MappedFile?
    }

    private var shared: [Key: Entry] = [:]
    private var open: [Identity: OpenEntry] = [:]
    private let maximumFiles: Int
    /// Mappings that exist, those of which only pins know among them.
    private(set) var count = 0
    private var size: UInt64 = 0

    /// - Parameters:
    ///   - maximumFiles: how many may be open.
    ///   - functions: how many of them share the process, each with as much of it.
    init(maximumFiles: Int, functions: Int) {
        self.maximumFiles = maximumFiles
        maximumCount = ResourceLimit.mappedFiles / functions
        maximumSize = Self.mappableSize / UInt64(functions)
        GuardedCopy.install()
    }

    /// A mapping that contains `size` bytes of a file from `offset` on.
    ///
    /// Bytes between the end of a file and the end of its last page count as its own.
    ///
    /// - Parameter descriptor: kept where it is the first of its file, closed otherwise.
    func mapping(
        of descriptor: consuming Descriptor, offset: UInt64, size: UInt64, access: DMAAccess
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
        let identity = Identity(device: status.device, inode: status.inode)
        let key = Key(file: identity, writable: access.contains(.write))
        if let mapping = shared[key]?.mapping, offset + size <= mapping.size { return mapping }
        let file = try file(identity, descriptor, isWritable: status.isWritable)
        let mapping = try FileMapping(of: file, size: fileSize, access: access, key: key, for: self)
        shared[key] = Entry(mapping: mapping)
        return mapping
    }

    private func file(
        _ identity: Identity, _ descriptor: consuming Descriptor, isWritable: Bool
    ) throws(MapError) -> MappedFile {
        if let file = open[identity]?.file {
            if isWritable, !file.isWritable { file.replace(by: descriptor) }
            return file
        }
        guard open.count < maximumFiles else { throw .system(.tooManyOpenFiles) }
        let file = MappedFile(descriptor, isWritable: isWritable, identity: identity, for: self)
        open[identity] = OpenEntry(file: file)
        return file
    }

    fileprivate func reserve(_ size: UInt64) throws(MapError) {
        guard count < maximumCount, size <= maximumSize - self.size else { throw .system(.noMemory) }
        count += 1
        self.size += size
    }

    fileprivate func giveBack(_ size: UInt64) {
        count -= 1
        self.size -= size
    }

    /// Called when a shared mapping is gone; another one may have replaced it before.
    fileprivate func forget(_ key: Key) {
        if shared[key]?.mapping == nil { shared[key] = nil }
    }

    /// Called when the last mapping of a file is gone.
    fileprivate func forget(_ identity: Identity) {
        if open[identity]?.file == nil { open[identity] = nil }
    }
}

/// A file that is open in this process until the last mapping of it goes.
final class MappedFile {
    private(set) var descriptor: Descriptor
    /// Whether all that may be done with the file can be done with the descriptor.
    private(set) var isWritable: Bool
    private let identity: FileMappings.Identity
    private weak var owner: FileMappings?

    fileprivate init(
        _ descriptor: consuming Descriptor, isWritable: Bool, identity: FileMappings.Identity, for owner: FileMappings
    ) {
        self.descriptor = descriptor
        self.isWritable = isWritable
        self.identity = identity
        self.owner = owner
    }

    deinit {
        owner?.forget(identity)
    }

    /// A descriptor has come that can do more.
    fileprivate func replace(by descriptor: consuming Descriptor) {
        self.descriptor = descriptor
        isWritable = true
    }
}

/// A file, mapped into this process until the last map and pin that use it go.
final class FileMapping {
    private let mapping: Mapping
    private let key: FileMappings.Key
    private weak var owner: FileMappings?
    /// For whoever has to be given it.
    let file: MappedFile

    /// In bytes.
    var size: UInt64 { UInt64(mapping.size) }

    fileprivate init(
        of file: MappedFile, size: UInt64, access: DMAAccess, key: FileMappings.Key, for owner: FileMappings
    ) throws(MapError) {
        guard let length = Int(exactly: size) else { throw .system(.noMemory) }
        try owner.reserve(size)
        do throws(Errno) {
            mapping = try Mapping(
                of: file.descriptor, size: length, access: access.contains(.write) ? [.read, .write] : .read)
        } catch {
            owner.giveBack(size)
            throw .system(error)
        }
        self.key = key
        self.owner = owner
        self.file = file
    }

    deinit {
        owner?.giveBack(size)
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
