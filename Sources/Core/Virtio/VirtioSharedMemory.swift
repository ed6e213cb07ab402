import Linux

/// A shared memory region: memory of the device's that the guest maps, and that belongs to no saved state. VIRTIO 1.2,
/// section 2.10.
public struct VirtioSharedMemory {
    /// What the driver knows it by: `shmid`.
    public let id: UInt8
    /// Its size is a power of two, at least a page.
    public let memory: MappedBytes

    public init(id: UInt8, memory: MappedBytes) {
        self.id = id
        self.memory = memory
    }
}
