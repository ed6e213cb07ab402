import Linux

/// An access to a region that the function can't answer. Its errno is what the kernel's vfio-pci gives.
public enum AccessError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The function has no region with this index.
    case noSuchRegion(Int)
    /// The access does not lie inside the region.
    case outsideRegion(Int, offset: UInt64, count: Int, size: UInt64)
    /// A write to a region that can only be read.
    case readOnly(Int)
    /// The function is in D3hot, where it answers configuration accesses alone.
    case asleep(Int)
    /// A write to a function that stands still, see ``Function/setRunning(_:)``.
    case standsStill(Int)
    /// Somebody wants accesses to fail like that, see `Host.alterer`.
    case altered(Int, Errno)

    public var errno: Errno {
        switch self {
        case .noSuchRegion, .outsideRegion, .readOnly: .invalidArgument
        case .asleep: .ioError
        case .standsStill: .resourceBusy
        case .altered(_, let errno): errno
        }
    }

    public var description: String {
        switch self {
        case .noSuchRegion(let index): "The function has no region \(index)."
        case .outsideRegion(let index, let offset, let count, let size):
            "\(count) bytes at \(offset) do not lie inside region \(index), which has \(size)."
        case .readOnly(let index): "Region \(index) can't be written."
        case .asleep(let index): "Region \(index) can't be reached: the function is in D3hot."
        case .standsStill(let index): "Region \(index) can't be written while the function stands still."
        case .altered(let index, let errno): "The access to region \(index) is made to fail: \(errno)."
        }
    }
}
