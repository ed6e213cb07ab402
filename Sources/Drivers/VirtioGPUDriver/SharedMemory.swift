import Linux

/// Memory that a driver has given its device, and can give to others.
public final class SharedMemory {
    /// The I/O virtual address of the first byte.
    public let address: UInt64
    /// In bytes, whole pages.
    public let size: UInt64
    /// nil when nobody here needs it any more: the device has a descriptor of its own.
    public private(set) var file: MemoryFile?

    public init(address: UInt64, file: MemoryFile) {
        self.address = address
        self.file = file
        size = UInt64(file.size)
    }

    /// Closes the file here. The device keeps it.
    public func closeFile() { file = nil }
}
