import CLinux
import JSON

/// What one side of a connection can do, as its version message says. VFIO_USER_VERSION; vfio-user
/// specification, "VFIO_USER_VERSION".
///
/// The message is a major and a minor version and, NUL-terminated, a JSON object.
public struct Capabilities: Equatable, Sendable {
    /// The version of the protocol that this library speaks.
    public static let major: UInt16 = 0
    public static let minor: UInt16 = 0
    /// The versions, in bytes; the text follows.
    public static let size = MemoryLayout<vfio_user_version>.size

    /// The most descriptors that the sender takes with one message.
    public var maxMessageFDs = 1
    /// The largest `count` of a data transfer that the sender takes, in bytes.
    public var maxDataTransfer = 1 << 20
    /// The most DMA maps at the same time.
    public var maxDMAMaps = 65_535
    /// The page sizes of DMA maps, or'ed together.
    public var pageSizes: UInt64 = 4096
    /// Commands from the server to the client go over a socket of their own. In a reply: the index of
    /// that socket's descriptor.
    public var twinSocket: TwinSocket?
    /// Region accesses may go through shared memory, an extension of this project's: Documentation/AccessRing.md. In a
    /// reply: where its three descriptors are.
    public var accessRing: AccessRing?
    /// VFIO_USER_REGION_WRITE_MULTI is understood.
    public var writeMultiple = false
    /// The granularity of dirty logs; nil when the sender says nothing of migration.
    public var migrationPageSize: UInt64?

    public enum TwinSocket: Equatable, Sendable {
        /// The client supports it.
        case supported
        /// The server's reply: descriptor number `index` of the message.
        case descriptor(index: Int)
    }

    public enum AccessRing: Equatable, Sendable {
        /// The version that is spoken here.
        public static let version = 1
        /// The client supports it.
        case supported
        /// The server's reply: descriptors number `index` to `index` + 2 of the message are the ring's memory, the
        /// eventfd that wakes the server and the eventfd that wakes the client.
        case descriptors(index: Int)
    }

    /// What a sender has that says nothing.
    public init() {}

    /// A version message taken apart.
    public struct Message: Equatable, Sendable {
        public var major: UInt16
        public var minor: UInt16
        public var capabilities: Capabilities

        public init(_ payload: RawSpan) throws(MalformedMessage) {
            let wire = try payload.load(vfio_user_version.self)
            major = wire.major
            minor = wire.minor
            capabilities = try Capabilities(text: payload.extracting(droppingFirst: Capabilities.size))
        }
    }

    /// - Parameter text: the JSON with its NUL; may be empty.
    init(text: RawSpan) throws(MalformedMessage) {
        guard text.byteCount > 0 else { return }
        guard text.unsafeLoad(fromByteOffset: text.byteCount - 1, as: UInt8.self) == 0 else {
            throw .capabilities("it does not end in NUL")
        }
        let document: JSON
        do throws(JSONError) {
            document = try JSON(parsing: text.extracting(droppingLast: 1))
        } catch {
            throw .capabilities(error.description)
        }
        guard let object = document.object else { throw .capabilities("it is no object") }
        guard let list = object["capabilities"] else { return }
        guard list.object != nil else { throw .capabilities("capabilities is no object") }
        if let value = try Self.number("max_msg_fds", of: list, 1...65_535) { maxMessageFDs = Int(value) }
        if let value = try Self.number("max_data_xfer_size", of: list, 1...(1 << 40)) { maxDataTransfer = Int(value) }
        if let value = try Self.number("max_dma_maps", of: list, 1...(1 << 40)) { maxDMAMaps = Int(value) }
        if let value = try Self.number("pgsizes", of: list, 1...UInt64.max) { pageSizes = value }
        if let value = list["write_multiple"] {
            guard let flag = value.bool else { throw .capabilities("write_multiple is no boolean") }
            writeMultiple = flag
        }
        if let twin = list["twin_socket"] {
            guard twin.object != nil else { throw .capabilities("twin_socket is no object") }
            if twin["supported"]?.bool == true {
                let index = try Self.number("fd_index", of: twin, 0...252)
                twinSocket = index.map { .descriptor(index: Int($0)) } ?? .supported
            }
        }
        if let ring = list["access_ring"] {
            guard ring.object != nil else { throw .capabilities("access_ring is no object") }
            // Another version is another extension: not offered here.
            if ring["version"]?.int == AccessRing.version {
                let index = try Self.number("fd_index", of: ring, 0...250)
                accessRing = index.map { .descriptors(index: Int($0)) } ?? .supported
            }
        }
        if let migration = list["migration"] {
            guard migration.object != nil else { throw .capabilities("migration is no object") }
            migrationPageSize = try Self.number("pgsize", of: migration, 1...UInt64.max)
        }
    }

    private static func number(
        _ name: String, of list: JSON, _ range: ClosedRange<UInt64>
    ) throws(MalformedMessage) -> UInt64? {
        guard let value = list[name] else { return nil }
        guard let number = value.uint64, range.contains(number) else {
            // The peer's text may be as long as a message.
            throw .capabilities(
                "\(name) is \(value.text.prefix(40)), not a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// The text of a version message, without its NUL.
    public var text: String {
        var list: JSON.Object = [
            "max_msg_fds": JSON(maxMessageFDs),
            "max_data_xfer_size": JSON(maxDataTransfer),
            "max_dma_maps": JSON(maxDMAMaps),
            "pgsizes": JSON(pageSizes),
        ]
        if writeMultiple { list["write_multiple"] = true }
        switch twinSocket {
        case .supported: list["twin_socket"] = ["supported": true]
        case .descriptor(let index): list["twin_socket"] = ["supported": true, "fd_index": JSON(index)]
        case nil: break
        }
        switch accessRing {
        case .supported: list["access_ring"] = ["version": JSON(AccessRing.version)]
        case .descriptors(let index):
            list["access_ring"] = ["version": JSON(AccessRing.version), "fd_index": JSON(index)]
        case nil: break
        }
        if let migrationPageSize { list["migration"] = ["pgsize": JSON(migrationPageSize)] }
        return JSON.object(["capabilities": .object(list)]).text
    }

    /// Writes a version message.
    ///
    /// - Returns: the number of bytes written.
    public func write(into bytes: inout MutableRawSpan) -> Int {
        var end = bytes.store(vfio_user_version(major: Self.major, minor: Self.minor))
        for byte in text.utf8 { end = bytes.store(byte, at: end) }
        return bytes.store(UInt8(0), at: end)
    }
}
