/// What a device may do with mapped memory. `VFIO_DMA_MAP_FLAG_READ`, `VFIO_DMA_MAP_FLAG_WRITE`
public struct DMAAccess: OptionSet, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    public static let read = DMAAccess(rawValue: 1)
    public static let write = DMAAccess(rawValue: 2)

    public var description: String {
        switch self {
        case .read: "read"
        case .write: "write"
        case [.read, .write]: "read and write"
        default: "no"
        }
    }
}
