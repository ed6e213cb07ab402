import PCI
import PCIInspection
import VFIO
import VFIOUserClient

/// What a server says of its device. However much it claims to have, a bounded number of questions is asked.
struct Findings {
    let server: Capabilities
    let info: DeviceInfo
    private(set) var regions: [Region] = []
    private(set) var interrupts: [IRQInfo] = []
    private(set) var migration: Migration?
    /// Of a PCI device whose configuration space can be read; else nil.
    private(set) var configuration: ConfigurationReport?
    /// What makes no sense or is missing, each a sentence.
    private(set) var problems: [String] = []

    struct Region {
        let info: RegionInfo
        var doorbells: [RegionIOFDs.Entry] = []
    }

    struct Migration {
        let flags: MigrationFlags
        /// Nil when the server doesn't say, or says what nobody knows.
        let state: MigrationState?
        /// The pages that the device writes can be logged.
        let hasDirtyLog: Bool
    }

    /// The most regions that are asked for, and doorbells that are kept of each.
    private static let limit = 64
    /// All that a function can have, in bytes.
    private static let configurationSize: UInt64 = 4096

    init(_ client: Client) throws(ClientError) {
        server = client.server
        info = try client.deviceInfo()
        try askRegions(client)
        try askInterrupts(client)
        if info.flags.contains(.pci) { try readConfiguration(client) }
        // Not every server knows these questions, and some hang up when they don't.
        do throws(ClientError) {
            try askDoorbells(client)
            try askMigration(client)
        } catch {
            problems.append("Not all questions were answered. \(error)")
        }
        problems += configuration?.problems ?? []
    }

    /// Asks something that a server may refuse, or answer with nonsense.
    private mutating func ask<Answer>(
        _ question: () throws(ClientError) -> Answer
    ) throws(ClientError) -> Answer? {
        do throws(ClientError) {
            return try question()
        } catch {
            switch error {
            case .refused: return nil
            case .malformed:
                problems.append(error.description)
                return nil
            default: throw error
            }
        }
    }

    private mutating func askRegions(_ client: Client) throws(ClientError) {
        for index in 0..<Int(min(info.regionCount, UInt32(Self.limit))) {
            // VGA's region is often refused where there is none.
            guard var region = try ask({ () throws(ClientError) in try client.region(index).info }) else { continue }
            // The question counts, not what the answer claims to be about.
            region.index = UInt32(index)
            regions.append(Region(info: region))
        }
        if info.regionCount > UInt32(Self.limit) {
            problems.append("Of \(info.regionCount) regions only the first \(Self.limit) were asked for.")
        }
    }

    private mutating func askInterrupts(_ client: Client) throws(ClientError) {
        for kind in InterruptKind.allCases where kind.rawValue < info.irqCount {
            guard var interrupt = try ask({ () throws(ClientError) in try client.irqInfo(kind) }) else { continue }
            interrupt.index = kind.rawValue
            interrupts.append(interrupt)
        }
    }

    private mutating func readConfiguration(_ client: Client) throws(ClientError) {
        let region = regions.first { $0.info.index == UInt32(RegionIndex.configuration) }
        let size = Int(min(region?.info.length ?? 0, Self.configurationSize))
        let piece = max(1, min(size, server.maxDataTransfer))
        var bytes: [UInt8] = []
        do throws(ClientError) {
            while bytes.count < size {
                bytes += try client.read(
                    region: RegionIndex.configuration, offset: UInt64(bytes.count),
                    count: min(piece, size - bytes.count))
            }
        } catch {
            switch error {
            case .refused, .malformed: problems.append("Configuration space can't be read. \(error)")
            default: throw error
            }
        }
        if !bytes.isEmpty { configuration = ConfigurationReport(bytes) }
    }

    private mutating func askDoorbells(_ client: Client) throws(ClientError) {
        for position in regions.indices where regions[position].info.length > 0 {
            let index = regions[position].info.index
            guard index != UInt32(RegionIndex.configuration) else { continue }
            // The descriptors are closed at once: only what they stand for is of interest.
            let doorbells = try ask { () throws(ClientError) in
                try client.doorbells(ofRegion: Int(index)).map(\.entry)
            }
            guard let doorbells else { continue }
            regions[position].doorbells = Array(doorbells.prefix(Self.limit))
            if doorbells.count > Self.limit {
                problems.append(
                    "Of \(doorbells.count) doorbells of region \(index) only the first \(Self.limit) are shown.")
            }
        }
    }

    private mutating func askMigration(_ client: Client) throws(ClientError) {
        guard let flags = try ask({ () throws(ClientError) in try client.migrationFlags() }) else { return }
        let state = try ask { () throws(ClientError) in try client.migrationState() }
        migration = Migration(
            flags: flags, state: state ?? nil, hasDirtyLog: try client.probe(.dmaLoggingStart, .set))
    }
}

extension Findings {
    /// The name of a region: a PCI device's have fixed places.
    func name(_ region: RegionInfo) -> String {
        guard info.flags.contains(.pci), region.index < UInt32(RegionIndex.count) else {
            return "region\(region.index)"
        }
        return RegionIndex.names[Int(region.index)]
    }
}

/// The flags of the protocol with their names, for people and for programs.
extension DeviceInfo.Flags {
    static let names: [(flag: Self, name: String)] = [(.pci, "pci"), (.reset, "reset")]
}

extension RegionInfo.Flags {
    static let names: [(flag: Self, name: String)] = [(.read, "read"), (.write, "write"), (.mmap, "mmap")]
}

extension IRQInfo.Flags {
    static let names: [(flag: Self, name: String)] = [
        (.eventfd, "eventfd"), (.maskable, "maskable"), (.automasked, "automasked"), (.noResize, "noresize"),
    ]
}

extension MigrationFlags {
    static let names: [(flag: Self, name: String)] = [
        (.stopCopy, "stop-copy"), (.peerToPeer, "p2p"), (.preCopy, "pre-copy"),
    ]
}

extension OptionSet where Element == Self {
    /// Each name with a plus or a minus.
    func text(_ names: [(flag: Self, name: String)]) -> String {
        names.map { $0.name + (contains($0.flag) ? "+" : "-") }.joined(separator: " ")
    }

    /// The names of those that are set.
    func list(_ names: [(flag: Self, name: String)]) -> [String] {
        names.filter { contains($0.flag) }.map(\.name)
    }
}
