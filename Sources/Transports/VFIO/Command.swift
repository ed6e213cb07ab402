/// What a message asks for: the command field of its header. vfio-user specification, "Commands".
public enum Command: UInt16, CaseIterable, Sendable {
    /// VFIO_USER_VERSION
    case version = 1
    /// VFIO_USER_DMA_MAP
    case dmaMap = 2
    /// VFIO_USER_DMA_UNMAP
    case dmaUnmap = 3
    /// VFIO_USER_DEVICE_GET_INFO
    case deviceGetInfo = 4
    /// VFIO_USER_DEVICE_GET_REGION_INFO
    case deviceGetRegionInfo = 5
    /// VFIO_USER_DEVICE_GET_REGION_IO_FDS
    case deviceGetRegionIOFDs = 6
    /// VFIO_USER_DEVICE_GET_IRQ_INFO
    case deviceGetIRQInfo = 7
    /// VFIO_USER_DEVICE_SET_IRQS
    case deviceSetIRQs = 8
    /// VFIO_USER_REGION_READ
    case regionRead = 9
    /// VFIO_USER_REGION_WRITE
    case regionWrite = 10
    /// VFIO_USER_DMA_READ, from the server to the client
    case dmaRead = 11
    /// VFIO_USER_DMA_WRITE, from the server to the client
    case dmaWrite = 12
    /// VFIO_USER_DEVICE_RESET
    case deviceReset = 13
    /// VFIO_USER_REGION_WRITE_MULTI
    case regionWriteMulti = 15
    /// VFIO_USER_DEVICE_FEATURE
    case deviceFeature = 16
    /// VFIO_USER_MIG_DATA_READ
    case migrationDataRead = 17
    /// VFIO_USER_MIG_DATA_WRITE
    case migrationDataWrite = 18

    /// The specification's name without `VFIO_USER_`, such as `DMA_MAP`.
    public var name: String {
        switch self {
        case .version: "VERSION"
        case .dmaMap: "DMA_MAP"
        case .dmaUnmap: "DMA_UNMAP"
        case .deviceGetInfo: "DEVICE_GET_INFO"
        case .deviceGetRegionInfo: "DEVICE_GET_REGION_INFO"
        case .deviceGetRegionIOFDs: "DEVICE_GET_REGION_IO_FDS"
        case .deviceGetIRQInfo: "DEVICE_GET_IRQ_INFO"
        case .deviceSetIRQs: "DEVICE_SET_IRQS"
        case .regionRead: "REGION_READ"
        case .regionWrite: "REGION_WRITE"
        case .dmaRead: "DMA_READ"
        case .dmaWrite: "DMA_WRITE"
        case .deviceReset: "DEVICE_RESET"
        case .regionWriteMulti: "REGION_WRITE_MULTI"
        case .deviceFeature: "DEVICE_FEATURE"
        case .migrationDataRead: "MIG_DATA_READ"
        case .migrationDataWrite: "MIG_DATA_WRITE"
        }
    }
}
