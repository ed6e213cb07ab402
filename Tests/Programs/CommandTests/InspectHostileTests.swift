import FakeGuest
import JSON
import Linux
import PCI
import Programs
import SeededRandom
import Testing
import VFIO

/// Servers that lie, stop short or stay silent: there is always an end, and never more than a screenful or two.
@Suite struct InspectHostileTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func inspect(_ device: FakeDevice, _ options: String...) throws -> Program.Outcome {
        let server = try FakeServer(device, at: scratch.path("socket"))
        defer { server.end() }
        return try Command.run(["inspect", server.path] + options)
    }

    private func problems(_ configuration: FakeConfiguration) throws -> [String] {
        let outcome = try inspect(FakeDevice(configuration: configuration.bytes), "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try JSON(parsing: outcome.output)["problems"]?.array?.compactMap(\.string) ?? []
    }

    /// A device with a little of everything.
    private var device: FakeDevice {
        var configuration = FakeConfiguration(size: 4096)
        configuration.add(0x01, at: 0x40, UInt16(3), UInt16(0))
        return FakeDevice(
            regions: [RegionInfo(index: 0, flags: [.read, .write, .mmap], length: 4096)],
            configuration: configuration.bytes)
    }

    // MARK: Capability lists

    @Test func aCapabilityThatFollowsItselfEndsTheList() throws {
        var configuration = FakeConfiguration()
        configuration.add(0x77, at: 0x40)
        configuration.add(0x78, at: 0x50)
        configuration.store(UInt8(0x40), at: 0x51)
        #expect(try problems(configuration) == ["The capability list is a loop: it comes back to 0x40."])
        let output = try inspect(FakeDevice(configuration: configuration.bytes)).output
        #expect(output.ranges(of: "Capabilities:").count == 2)
        #expect(output.hasSuffix("\tProblem: The capability list is a loop: it comes back to 0x40.\n"))
    }

    @Test func anExtendedCapabilityThatFollowsItselfEndsTheList() throws {
        var configuration = FakeConfiguration(size: 4096)
        configuration.addExtended(0x7777, at: 0x100)
        configuration.addExtended(0x7778, at: 0x200)
        configuration.store(UInt16(0x2001), at: 0x202)
        #expect(try problems(configuration) == ["The extended capability list is a loop: it comes back to 0x200."])
    }

    @Test(arguments: [0x04, 0x3c])
    func aCapabilityInTheHeaderEndsTheList(_ place: UInt8) throws {
        var configuration = FakeConfiguration()
        configuration.add(0x77, at: 0x40)
        configuration.store(place, at: 0x41)
        let digits = String(place, radix: 16)
        #expect(try problems(configuration) == ["The capability list goes to 0x\(digits), where none can be."])
    }

    @Test func anExtendedCapabilityAmongTheOthersEndsTheList() throws {
        var configuration = FakeConfiguration(size: 4096)
        configuration.addExtended(0x7777, at: 0x100)
        configuration.store(UInt16(0x0401), at: 0x102)
        #expect(try problems(configuration) == ["The extended capability list goes to 0x40, where none can be."])
    }

    /// Configuration space that ends where a capability should be.
    @Test func aCapabilityBehindTheEndEndsTheList() throws {
        var configuration = FakeConfiguration(size: 64)
        configuration.store(UInt16(0x10), at: 0x06)
        configuration.store(UInt8(0x40), at: 0x34)
        #expect(try problems(configuration) == ["The capability list goes to 0x40, where none can be."])
    }

    @Test func theLongestListsAreShownWhole() throws {
        var configuration = FakeConfiguration(size: 4096)
        for offset in stride(from: 0x40, to: 0x100, by: 4) { configuration.add(0x77, at: offset) }
        for offset in stride(from: 0x100, to: 0x1000, by: 4) { configuration.addExtended(0x7777, at: offset) }
        let outcome = try inspect(FakeDevice(configuration: configuration.bytes))
        #expect(outcome.output.ranges(of: "Capabilities:").count == 48 + 960)
        #expect(!outcome.output.contains("Problem"))
    }

    @Test(arguments: 0..<32 as Range<UInt64>)
    func noiseIsShownWithinBounds(_ seed: UInt64) throws {
        var noise = SplitMix(seed: seed)
        // From nothing to all of it; some of it as short as no header is.
        let size = seed % 4 == 0 ? Int(seed) : 4096
        var bytes = (0..<size).map { _ in UInt8.random(in: .min ... .max, using: &noise) }
        // Lists are long, and registers of every kind, when each ID is a likely one.
        for offset in stride(from: 0x40, to: size, by: 4) { bytes[offset] &= 0x1f }
        for offset in stride(from: 0x100, to: size, by: 4) { bytes[offset + 1] = 0 }
        if size > 0x40 { bytes[0x06] |= 1 << 4 }
        var device = FakeDevice(configuration: bytes)
        device.regions = (0..<6).map { RegionInfo(index: $0, flags: .read, length: .max) }
        for option in [[], ["--json"], ["-x"]] {
            let server = try FakeServer(device, at: scratch.path("socket"))
            let outcome = try Command.run(["inspect", server.path] + option)
            server.end()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.utf8.count < 4 << 20)
            if option == ["--json"] { #expect(throws: Never.self) { try JSON(parsing: outcome.output) } }
        }
    }

    // MARK: Numbers

    @Test func hugeNumbersAreShownAndNotBelieved() throws {
        var device = self.device
        device.info = DeviceInfo(flags: [.pci, .reset], regionCount: .max, irqCount: .max)
        device.regions = (0..<7).map { index in
            RegionInfo(
                index: index, flags: [.read, .mmap], length: .max, offset: .max,
                sparseAreas: (0..<RegionInfo.maximumAreas).map { _ in .init(offset: .max, size: .max) })
        }
        device.interrupts = InterruptKind.allCases.map {
            IRQInfo(index: $0.rawValue, flags: IRQInfo.Flags(rawValue: .max), count: .max)
        }
        let outcome = try inspect(device)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("Regions=4294967295 Interrupts=4294967295\n"))
        #expect(outcome.output.contains("Interrupts msix: Count=4294967295 "))
        #expect(outcome.output.contains("Problem: Of 4294967295 regions only the first 64 were asked for.\n"))
        #expect(outcome.output.ranges(of: "Mmap: ").count == 7 * RegionInfo.maximumAreas)
    }

    /// A configuration space of 2^64-1 bytes is asked for its first 4096.
    @Test func aHugeConfigurationSpaceIsReadAsFarAsOneGoes() throws {
        var device = self.device
        device.regions = [RegionInfo(index: 7, flags: .read, length: .max)]
        let outcome = try inspect(device, "-x")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("\nff0: "))
        #expect(!outcome.output.contains("\n1000: "))
    }

    @Test func anAnswerAboutSomethingElseIsTakenForWhatWasAsked() throws {
        let region = RegionInfo(index: .max, flags: .read, length: 4096)
        var device = device.answering(.deviceGetRegionInfo) { _ in
            .reply(wire { region.write(into: &$0, argumentSize: .max).count })
        }
        device.info.regionCount = 2
        let json = try JSON(parsing: inspect(device, "--json").output)
        #expect(json["regions"]?.array?.map { $0["index"] } == [0, 1])
    }

    @Test func manyDoorbellsAreCutShort() throws {
        let bell = try EventFD()
        let entry = RegionIOFDs.Entry(offset: .max, size: .max, descriptorIndex: 0, kind: .ioeventfd)
        let doorbells = RegionIOFDs(index: 0, entries: Array(repeating: entry, count: 20_000))
        let device = device.answering(.deviceGetRegionIOFDs) { message in
            let size = message.field(UInt32.self, at: 0) ?? 0
            let payload = wire(room: 1 << 20) { doorbells.write(into: &$0, argumentSize: size).count }
            return .reply(payload, descriptors: payload.count > RegionIOFDs.size ? [bell.descriptor.raw] : [])
        }
        let outcome = try inspect(device)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.ranges(of: "Doorbell: ").count == 64)
        #expect(
            outcome.output.contains("Problem: Of 20000 doorbells of region 0 only the first 64 are shown.\n"))
    }

    /// A file where an eventfd should be, and none at all.
    @Test(arguments: [true, false])
    func aDoorbellWithoutEventFDIsAProblem(_ hasFile: Bool) throws {
        let file = try MemoryFile(name: "no eventfd", size: 4096)
        let doorbells = RegionIOFDs(
            index: 0, entries: [.init(offset: 0, size: 4, descriptorIndex: 0, kind: .ioeventfd)])
        let device = device.answering(.deviceGetRegionIOFDs) { message in
            let size = message.field(UInt32.self, at: 0) ?? 0
            let payload = wire { doorbells.write(into: &$0, argumentSize: size).count }
            return .reply(payload, descriptors: hasFile ? [file.descriptor.raw] : [])
        }
        let outcome = try inspect(device)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("Problem: The reply to deviceGetRegionIOFDs makes no sense. "))
        #expect(outcome.output.contains("Capabilities: [40] Power Management"))
    }

    // MARK: Replies

    private static let first: [VFIO.Command] = [
        .version, .deviceGetInfo, .deviceGetRegionInfo, .deviceGetIRQInfo, .regionRead,
    ]
    private static let last: [VFIO.Command] = [.deviceGetRegionIOFDs, .deviceFeature]

    /// What can't do without an answer fails; the rest becomes a problem.
    @Test(arguments: first + last, [0, 1, 7, 15])
    func aShortReplyIsAnErrorOrAProblem(_ command: VFIO.Command, _ count: Int) throws {
        let outcome = try inspect(
            device.answering(command) { _ in .reply([UInt8](repeating: 0xff, count: count)) }, "--timeout", "2")
        #expect(!outcome.errors.contains("Fatal"))
        switch command {
        case .version, .deviceGetInfo: #expect(outcome.status == 76)
        default:
            #expect(outcome.status == 0)
            #expect(outcome.output.contains("\tProblem: "))
        }
    }

    @Test(arguments: first)
    func aServerThatHangsUpIsSaidSo(_ command: VFIO.Command) throws {
        let outcome = try inspect(device.answering(command) { _ in .hangUp })
        #expect(outcome.status == 69)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.contains("The server closed the connection."))
    }

    @Test(arguments: first)
    func aServerThatFallsSilentIsGivenUp(_ command: VFIO.Command) throws {
        let outcome = try inspect(device.answering(command) { _ in .silence }, "--timeout", "1")
        #expect(outcome.status == 69)
        #expect(outcome.output.isEmpty)
        #expect(
            outcome.errors.contains(command == .version ? "does not answer" : "did not answer \(command) in time"))
    }

    /// Some servers know only what every client asks; what they said until then is shown.
    @Test(arguments: last)
    func whatWasSaidBeforeTheEndIsShown(_ command: VFIO.Command) throws {
        for answer in [FakeServer.Answer.hangUp, .silence] {
            let outcome = try inspect(device.answering(command) { _ in answer }, "--timeout", "1")
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("Capabilities: [40] Power Management"))
            #expect(outcome.output.contains("\tProblem: Not all questions were answered. "))
        }
    }

    @Test(arguments: [
        FakeServer.Answer.endless(message(.dmaRead, wire(UInt64(0), UInt64(4096)), flags: .noReply)),
        .endless(message(.deviceGetInfo, id: 0xffff, flags: .reply)),
        .endless([0]),
    ])
    func aServerThatTalksWithoutEndIsGivenUp(_ answer: FakeServer.Answer) throws {
        let outcome = try inspect(device.answering(.deviceGetInfo) { _ in answer }, "--timeout", "1")
        #expect(outcome.status == 69)
        #expect(outcome.errors.hasPrefix("mediated: The device at "))
    }

    @Test(arguments: [UInt32(0), 15, 1 << 30, .max])
    func aHeaderOfAnImpossibleSizeIsSaidSo(_ size: UInt32) throws {
        let reply = message(.version, id: 1, flags: .reply, size: size)
        let outcome = try inspect(device.answering(.version) { _ in .bytes(reply) }, "--timeout", "1")
        #expect(outcome.status == 69)
    }

    @Test func anUnreadableConfigurationSpaceIsAProblem() throws {
        let outcome = try inspect(device.answering(.regionRead) { _ in .refusal(.ioError) })
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("\tProblem: Configuration space can't be read. "))
        #expect(outcome.output.contains("\tRegion 0: [size=4K]\n"))
    }

    @Test func anErrorThatNobodyKnowsIsShownByItsNumber() throws {
        let outcome = try inspect(device.answering(.deviceGetInfo) { _ in .refusal(Errno(rawValue: 0x7fff_ffff)) })
        #expect(outcome.status == 69)
        #expect(outcome.errors.contains("2147483647"))
    }

    @Test func anotherVersionIsSaidSo() throws {
        var device = self.device
        device.version = wire(UInt16(1), UInt16(2)) + Array("{}\0".utf8)
        let outcome = try inspect(device)
        #expect(outcome.status == 76)
        #expect(outcome.errors.contains("version 1.2"))
    }

    /// Escape sequences, in seven bits and in eight, and what turns the direction of writing.
    @Test(arguments: ["\\u001b]0;title\\u0007", "\u{9b}2J", "\u{202e}tfel ot thgir", "\u{7f}"])
    func textThatWouldControlATerminalIsMadeHarmless(_ text: String) throws {
        var device = self.device
        device.version = wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"max_msg_fds":"\#(text)"}}"#.utf8) + [0]
        let outcome = try inspect(device)
        #expect(outcome.status == 76)
        #expect(outcome.errors.contains("max_msg_fds"))
        #expect(
            outcome.errors.dropLast().unicodeScalars.allSatisfy {
                ![.control, .format].contains($0.properties.generalCategory)
            })
    }

    @Test func aLongTextIsCutShort() throws {
        var device = self.device
        let text = String(repeating: "x", count: 1 << 19)
        device.version = wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"max_msg_fds":"\#(text)"}}"#.utf8) + [0]
        let outcome = try inspect(device)
        #expect(outcome.status == 76)
        #expect(outcome.errors.utf8.count < 1200)
        #expect(outcome.errors.contains("xxx") && !outcome.errors.contains(text))
    }
}
