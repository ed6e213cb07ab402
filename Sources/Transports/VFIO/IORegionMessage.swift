import CLinux

/// One access that a hypervisor sends to an ioregionfd. `struct ioregionfd_cmd` of the interface that was published for
/// KVM.
public struct IORegionCommand: Equatable, Sendable {
    /// In bytes. One command, one packet.
    public static let size = MemoryLayout<ioregionfd_cmd>.size

    public var isWrite: Bool
    /// In bytes: 1, 2, 4 or 8.
    public var width: Int
    /// The sender waits for an ``IORegionResponse``. A read always does.
    public var wantsResponse: Bool
    /// What the range's entry of ``RegionIOFDs`` says.
    public var userData: UInt64
    /// In bytes from the range's beginning.
    public var offset: UInt64
    /// What is written, in the low bits.
    public var data: UInt64

    // IOREGIONFD_CMD_…, IOREGIONFD_SIZE_OFFSET, IOREGIONFD_RESP_OFFSET
    private static let read: UInt32 = 0
    private static let write: UInt32 = 1
    private static let commandMask: UInt32 = 0xf
    private static let sizeShift: UInt32 = 4
    private static let responseFlag: UInt32 = 1 << 6

    public init(
        isWrite: Bool, width: Int, wantsResponse: Bool = true, userData: UInt64, offset: UInt64, data: UInt64 = 0
    ) {
        self.isWrite = isWrite
        self.width = width
        self.wantsResponse = wantsResponse
        self.userData = userData
        self.offset = offset
        self.data = data
    }

    public init(_ bytes: RawSpan) throws(MalformedMessage) {
        let wire = try bytes.loadAll(ioregionfd_cmd.self)
        let command = wire.info & Self.commandMask
        guard command == Self.read || command == Self.write else { throw .field("cmd", value: UInt64(command)) }
        isWrite = command == Self.write
        width = 1 << Int(wire.info >> Self.sizeShift & 3)
        wantsResponse = !isWrite || wire.info & Self.responseFlag != 0
        userData = wire.user_data
        offset = wire.offset
        data = wire.data
    }

    /// - Returns: the number of bytes written.
    public func write(into bytes: inout MutableRawSpan) -> Int {
        let info =
            (isWrite ? Self.write : Self.read) | UInt32(width.trailingZeroBitCount) << Self.sizeShift
            | (wantsResponse ? Self.responseFlag : 0)
        return bytes.store(
            ioregionfd_cmd(info: info, padding: 0, user_data: userData, offset: offset, data: data))
    }
}

/// The answer to a command. `struct ioregionfd_resp`
public struct IORegionResponse: Equatable, Sendable {
    /// In bytes.
    public static let size = MemoryLayout<ioregionfd_resp>.size

    /// What was read, in the low bits; 0 after a write.
    public var data: UInt64

    public init(data: UInt64) {
        self.data = data
    }

    public init(_ bytes: RawSpan) throws(MalformedMessage) {
        data = try bytes.loadAll(ioregionfd_resp.self).data
    }

    /// - Returns: the number of bytes written.
    public func write(into bytes: inout MutableRawSpan) -> Int {
        var wire = ioregionfd_resp()
        wire.data = data
        return bytes.store(wire)
    }
}
