import ArgumentParser
import JSON
import Linux
import VFIO
import VFIOUser

/// `mediated inspect`
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Connect as a vfio-user client and print what a server offers.",
        discussion: """
            Works with any vfio-user server. Nothing is changed, but most servers take one client at a time: a device \
            that is in use can't be inspected.
            """)

    @Argument(help: "The server's socket.")
    var socket: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let findings: Findings
        do throws(ClientError) {
            findings = try Findings(Client(path: socket))
        } catch {
            throw Failure(error, socket)
        }
        print(json ? findings.json.prettyText : findings.lines.joined(separator: "\n"))
    }
}

extension Failure {
    /// What went wrong with the server at `socket`.
    fileprivate init(_ error: ClientError, _ socket: String) {
        switch error {
        case .system(.noSuchFileOrDirectory), .system(.notDirectory):
            self.init(.noInput, "There is no socket at '\(socket)'.")
        case .system(.permissionDenied):
            self.init(.noPermission, "You may not connect to '\(socket)': its permissions don't allow it.")
        case .system(.connectionRefused):
            self.init(.unavailable, "Nobody listens at '\(socket)'.")
        case .system(.fileNameTooLong):
            self.init(.usage, "'\(socket)' is too long for a socket's path: at most 107 bytes.")
        case .refused(_, .resourceBusy):
            self.init(.unavailable, "The device at '\(socket)' is in use by another client.")
        case .refused, .disconnected, .timedOut, .unavailable:
            self.init(.unavailable, "The device at '\(socket)' can't be inspected. \(error)")
        case .malformed, .version:
            self.init(.protocol, "What listens at '\(socket)' is no vfio-user server of version 0.0. \(error)")
        case .system:
            self.init(.io, "The connection to '\(socket)' failed. \(error)")
        }
    }
}

/// What a server says of its device.
private struct Findings {
    let server: Capabilities
    let info: DeviceInfo
    let regions: [RegionInfo]
    let interrupts: [IRQInfo]
    let configuration: [UInt8]

    /// More than these a device is not asked for, whatever it claims to have.
    private static let limit: UInt32 = 64

    init(_ client: Client) throws(ClientError) {
        server = client.server
        info = try client.deviceInfo()
        var regions: [RegionInfo] = []
        // VGA's region is often refused where there is none.
        for index in 0..<Int(min(info.regionCount, Self.limit)) {
            do throws(ClientError) {
                regions.append(try client.region(index).info)
            } catch .refused {
                continue
            }
        }
        var interrupts: [IRQInfo] = []
        for index in IRQIndex.allCases where index.rawValue < info.irqCount {
            do throws(ClientError) {
                interrupts.append(try client.irqInfo(index))
            } catch .refused {
                continue
            }
        }
        let space = regions.first { $0.index == UInt32(RegionIndex.configuration) }?.length ?? 0
        configuration =
            space == 0
            ? [] : try client.read(region: RegionIndex.configuration, offset: 0, count: Int(min(space, 256)))
        self.regions = regions
        self.interrupts = interrupts
    }

    private static func name(_ region: UInt32) -> String {
        switch Int(region) {
        case RegionIndex.bar0...RegionIndex.bar5: "bar\(region)"
        case RegionIndex.rom: "rom"
        case RegionIndex.configuration: "config"
        case RegionIndex.vga: "vga"
        default: "region\(region)"
        }
    }

    private static func flags(_ flags: RegionInfo.Flags) -> [String] {
        [(RegionInfo.Flags.read, "read"), (.write, "write"), (.mmap, "mmap")].filter { flags.contains($0.0) }.map(\.1)
    }

    private static func flags(_ flags: IRQInfo.Flags) -> [String] {
        [
            (IRQInfo.Flags.eventfd, "eventfd"), (.maskable, "maskable"), (.automasked, "automasked"),
            (.noResize, "noresize"),
        ]
        .filter { flags.contains($0.0) }.map(\.1)
    }

    // MARK: For people

    var lines: [String] {
        let space = ConfigurationReport(configuration)
        return ["Server: \(server.text)"] + (configuration.isEmpty ? [] : space.lines)
            + regions.filter { $0.length > 0 }.flatMap(lines) + interrupts.filter { $0.count > 0 }.map(line)
            + space.dump
    }

    private func lines(_ region: RegionInfo) -> [String] {
        let size = Int(exactly: region.length).map { Size($0).description } ?? hex(region.length, 1)
        let flags = Self.flags(region.flags).joined(separator: " ")
        let index = Int(region.index)
        let kind = index <= RegionIndex.bar5 ? ", \(ConfigurationReport(configuration).baseAddress(index))" : ""
        return ["Region \(Self.name(region.index)): size \(size), \(flags)\(kind)"]
            + region.sparseAreas.map { "  mmap at \(hex($0.offset, 1)), size \(hex($0.size, 1))" }
    }

    private func line(_ interrupt: IRQInfo) -> String {
        let name = IRQIndex(rawValue: interrupt.index).map { "\($0)" } ?? "\(interrupt.index)"
        return "Interrupts \(name): \(interrupt.count), \(Self.flags(interrupt.flags).joined(separator: " "))"
    }

    // MARK: For programs

    var json: JSON {
        let space = ConfigurationReport(configuration)
        return [
            "server": (try? JSON(parsing: server.text)) ?? .string(server.text),
            "vendor": JSON(space.vendor), "device": JSON(space.device), "class": JSON(space.classCode),
            "revision": JSON(space.revision), "subsystemVendor": JSON(space.subsystemVendor),
            "subsystem": JSON(space.subsystem), "interruptPin": JSON(space.interruptPin),
            "regions": .array(regions.map(json)), "interrupts": .array(interrupts.map(json)),
            "capabilities": .array(
                space.capabilities.map {
                    ["offset": JSON($0.offset), "id": JSON($0.id), "description": .string($0.description)]
                }),
            "configuration": .string(configuration.map { hex($0, 2, prefix: "") }.joined()),
        ]
    }

    private func json(_ region: RegionInfo) -> JSON {
        [
            "index": JSON(region.index), "name": .string(Self.name(region.index)), "size": JSON(region.length),
            "flags": .array(Self.flags(region.flags).map(JSON.string)),
            "mmap": .array(region.sparseAreas.map { ["offset": JSON($0.offset), "size": JSON($0.size)] }),
        ]
    }

    private func json(_ interrupt: IRQInfo) -> JSON {
        [
            "index": JSON(interrupt.index), "count": JSON(interrupt.count),
            "flags": .array(Self.flags(interrupt.flags).map(JSON.string)),
        ]
    }
}
