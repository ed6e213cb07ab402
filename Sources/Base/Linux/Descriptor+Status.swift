import CLinux
import Glibc

extension Descriptor {
    /// What the kernel says about an open file.
    public struct Status: Equatable, Sendable {
        /// Together with ``inode`` the file's identity, for as long as anyone has it open or mapped.
        public var device: UInt64
        public var inode: UInt64
        /// Whom it belongs to.
        public var user: UInt32
        /// How many names it has.
        public var links: UInt64
        /// In bytes. Means something for regular files, memfds among them, only.
        public var size: UInt64
        /// What it takes, holes left out, in bytes.
        public var allocated: UInt64
        public var isRegular: Bool
        public var isSocket: Bool
        /// Whether this descriptor was opened for reading.
        public var isReadable: Bool
        /// Whether this descriptor was opened for writing.
        public var isWritable: Bool
    }

    /// Whether the file is memory: of a memfd, tmpfs or hugetlbfs. `F_GET_SEALS`
    ///
    /// Of any other the kernel may have to ask somebody for its size or its pages, such as a file system that a process
    /// serves (FUSE), and who waits for them waits as long as that one likes.
    public borrowing func isMemory() -> Bool { clinux_is_memory(raw) == 1 }

    /// What a descriptor is, for people.
    enum Kind: String, CaseIterable {
        case memfd, eventfd, socket, file, other
    }

    borrowing func kind() -> Kind {
        if isMemory() { return .memfd }
        if clinux_is_eventfd(raw) == 1 { return .eventfd }
        guard let status = try? status() else { return .other }
        return status.isSocket ? .socket : status.isRegular ? .file : .other
    }

    /// Whether there are bytes at offsets in it: it is a file or a device, and no pipe, socket, eventfd or directory.
    /// Asks nobody but the kernel. `AT_STATX_DONT_SYNC`
    public borrowing func holdsBytes() -> Bool { clinux_holds_bytes(raw) == 1 }

    /// The file's identity, size and kind, and how it was opened. `fstat(2)`, `F_GETFL`
    public borrowing func status() throws(Errno) -> Status {
        var status = stat()
        let raw = raw
        try shim(clinux_fstat(raw, &status))
        let mode = try systemCall { fcntl(raw, F_GETFL) } & O_ACCMODE
        return Status(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), user: status.st_uid,
            links: UInt64(status.st_nlink), size: UInt64(clamping: status.st_size),
            allocated: UInt64(clamping: status.st_blocks) &* 512, isRegular: status.st_mode & S_IFMT == S_IFREG,
            isSocket: status.st_mode & S_IFMT == S_IFSOCK,
            isReadable: mode == O_RDONLY || mode == O_RDWR, isWritable: mode == O_WRONLY || mode == O_RDWR)
    }
}
