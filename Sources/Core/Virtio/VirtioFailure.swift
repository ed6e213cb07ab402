import GuestMemory

/// Why a device needs a reset: what a driver did that no driver may do. Section numbers are those of VIRTIO 1.2.
public enum VirtioFailure: Error, Equatable, Sendable {
    /// A ring or a buffer is outside guest memory, or may not be accessed so.
    case memory(DMAError)
    /// A queue was enabled with a size of 0, above the maximum, or, with a split ring, no power of two. 2.7, 2.8
    case queueSize(Int, maximum: Int)
    /// A queue was enabled with an area that is not aligned. 2.7, 2.8
    case misaligned(address: UInt64, alignment: UInt64)
    /// The available index is further ahead than the queue is long. 2.7.6
    case availableIndex(ahead: Int, size: Int)
    /// A descriptor's number is outside its table. 2.7.5
    case descriptorIndex(Int, count: Int)
    /// A descriptor inside a chain was not made available. 2.8.6
    case descriptorNotAvailable(Int)
    /// A chain has more descriptors than the queue: it may be a loop. 2.7.5, 2.8.5
    case chainTooLong(maximum: Int)
    /// A chain has more than 2^32 bytes. 2.7.5
    case chainTooLarge(UInt64)
    /// A descriptor for the device to read comes behind one for it to write. 2.7.4.2, 2.8.4
    case readableAfterWritable
    /// An indirect descriptor without `VIRTIO_F_INDIRECT_DESC`. 2.7.5.3
    case indirectNotNegotiated
    /// An indirect descriptor that isn't the chain's last. 2.7.5.3.1
    case indirectChained
    /// An indirect descriptor in an indirect table. 2.7.5.3.1
    case indirectNested
    /// An indirect table has no descriptors, or not whole ones. 2.7.5.3
    case indirectLength(UInt32)
    /// A chain was made available that is in flight already.
    case alreadyInFlight(UInt16)
    /// More descriptors are in flight than the queue has.
    case tooManyInFlight(maximum: Int)
    /// The device itself gave up.
    case device
}

extension VirtioFailure: CustomStringConvertible {
    public var description: String {
        switch self {
        case .memory(let error): "A queue leads outside guest memory. \(error)"
        case .queueSize(let size, let maximum): "A queue can't have \(size) entries; its maximum is \(maximum)."
        case .misaligned(let address, let alignment):
            "A queue's area at 0x\(String(address, radix: 16)) is not aligned to \(alignment) bytes."
        case .availableIndex(let ahead, let size):
            "The available index of a queue of \(size) entries is \(ahead) ahead."
        case .descriptorIndex(let index, let count): "A chain leads to descriptor \(index) of \(count)."
        case .descriptorNotAvailable(let index): "Descriptor \(index) is part of a chain but not available."
        case .chainTooLong(let maximum): "A chain has more than \(maximum) descriptors."
        case .chainTooLarge(let bytes): "A chain has \(bytes) bytes."
        case .readableAfterWritable: "A readable descriptor comes behind a writable one."
        case .indirectNotNegotiated: "A descriptor is indirect, which was not agreed on."
        case .indirectChained: "An indirect descriptor is not the last of its chain."
        case .indirectNested: "An indirect table has an indirect descriptor."
        case .indirectLength(let length): "An indirect table can't have \(length) bytes."
        case .alreadyInFlight(let id): "Chain \(id) was made available while it was in flight."
        case .tooManyInFlight(let maximum): "More than \(maximum) descriptors are in flight."
        case .device: "The device can't go on."
        }
    }
}
