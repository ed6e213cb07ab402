import Device
import DeviceCatalog
import GuestMemory
import Linux
import PCI
import Testing

@testable import Xen

/// A function in a guest's slot: which accesses reach it, and what it has of Xen done.
struct PlacedFunctionTests {
    /// Notes what is asked of Xen, and refuses what it is told to, and to claim what is claimed.
    private final class Notes: AccessRouter, Guest, FrameSource {
        var all: [String] = []
        /// What it was left word of last.
        var record = SlotRecord()
        /// What has frames of the guest's.
        var memory: MappedBytes?
        var refuses = false
        private var claims: [RequestServer.Claim] = []

        private func note(_ text: String) throws(XenError) {
            all.append(text)
            if refuses { throw XenError(text, .noSpace) }
        }

        func claim(_ claim: RequestServer.Claim) throws(XenError) {
            try note("+ \(claim)")
            if claims.contains(where: { $0.overlaps(claim) }) { throw XenError("\(claim)", .fileExists) }
            claims.append(claim)
        }

        func release(_ claim: RequestServer.Claim) throws(XenError) {
            try note("- \(claim)")
            claims.removeAll { $0 == claim }
        }

        /// A process before this one has claimed it.
        func inherit(_ claim: RequestServer.Claim) { claims.append(claim) }

        func note(_ record: SlotRecord) { self.record = record }
        func firstFrame(behind memory: MappedBytes) -> UInt64? { memory === self.memory ? 0x4000 : nil }
        func note(_ parts: [SlotRecord.Part]) { #expect(parts == record.parts) }

        func send(_ message: MSIMessage) throws(XenError) { try note("message \(message.data)") }
        func set(_ pin: InterruptPin, ofDevice device: UInt8, asserted: Bool) throws(XenError) {
            try note("pin \(pin) of \(device): \(asserted)")
        }
        func move(_ count: UInt32, framesFrom from: UInt64, to: UInt64) throws(XenError) {
            try note("\(count) frames from 0x\(String(from, radix: 16)) to 0x\(String(to, radix: 16))")
        }
    }

    /// The guest's memory: a page.
    private final class Page: RemoteMemory {
        var bytes = [UInt8](repeating: 0, count: 4096)
        var timesAsked = 0

        func read(_ address: UInt64, into target: inout MutableRawSpan) throws(DMAError) {
            timesAsked += 1
            guard address < 4096, target.byteCount <= 4096 - Int(address) else { throw .fault(address: address) }
            let part = Array(bytes[Int(address)..<Int(address) + target.byteCount])
            target.copy(part.span.bytes, to: 0)
        }

        func write(_ address: UInt64, from source: RawSpan) throws(DMAError) {
            timesAsked += 1
            guard address < 4096, source.byteCount <= 4096 - Int(address) else { throw .fault(address: address) }
            let part = source.withUnsafeBytes { Array($0) }
            bytes.replaceSubrange(Int(address)..<Int(address) + part.count, with: part)
        }
    }

    private let notes = Notes()
    private let page = Page()
    private let placed: PlacedFunction
    private let reports: Locked<[String]>

    init() throws {
        let (host, reports) = (Host(loop: try EventLoop()), Locked<[String]>([]))
        host.report = { report in reports.withLock { $0.append(report) } }
        self.reports = reports
        let function = try Function(DeviceCatalog.make("exerciser", options: [], host: host), host: host)
        // The memory behind BAR 2 has frames of the guest's.
        notes.memory = function.region(2)?.memory
        placed = try PlacedFunction(
            function, at: Self.slot, router: notes, guest: notes, memory: page, frames: notes)
    }

    private static let slot = FunctionAddress(bus: 0, device: 5)!

    private func access(
        _ space: Request.Access.Space, _ address: UInt64, width: Int = 4, count: Int = 1, isDownwards: Bool = false,
        writes value: UInt64? = nil, memory: UInt64? = nil
    ) -> UInt64 {
        placed.answer(
            Request.Access(
                space: space, address: address, width: width, count: count, isRead: value == nil,
                isDownwards: isDownwards, data: memory.map { .memory($0) } ?? .value(value ?? 0)))
    }

    private static let own = Request.Access.Space.configuration(function: 0x28)

    /// Puts BAR 0 at 0xe0000000 and BAR 1 at port 0xc000.
    private func place() {
        _ = access(Self.own, 0x10, writes: 0xe000_0000)
        _ = access(Self.own, 0x14, writes: 0xc001)
        _ = access(Self.own, 0x04, width: 2, writes: 7)
    }

    @Test func theSlotIsClaimed() {
        #expect(notes.all.first == "+ slot 00:05.0")
        #expect(access(Self.own, 0) == 0x11e9_1234)
        #expect(access(.configuration(function: 0x29), 0) == .max)
        #expect(access(Self.own, 4094) == .max)
    }

    @Test func aBARIsClaimedWhereItIs() {
        place()
        #expect(notes.all.contains("+ addresses 0xe0000000 to 0xe0000fff"))
        #expect(notes.all.contains("+ ports 0xc000 to 0xc00f"))
        #expect(access(.memory, 0xe000_0000) == 0x1_11e9)
        #expect(access(.ports, 0xc000) == 0x1_11e9)
    }

    @Test func aBARThatMovesIsReleasedFirst() throws {
        place()
        notes.all = []
        _ = access(Self.own, 0x10, writes: 0xe100_0000)
        #expect(notes.all == ["- addresses 0xe0000000 to 0xe0000fff", "+ addresses 0xe1000000 to 0xe1000fff"])
        #expect(access(.memory, 0xe000_0000) == .max)
        #expect(access(.memory, 0xe100_0000) == 0x1_11e9)
    }

    @Test func memoryOfTheGuestsGoesWhereItsBARIs() {
        _ = access(Self.own, 0x18, writes: 0xe020_0000)
        _ = access(Self.own, 0x04, width: 2, writes: 2)
        #expect(notes.all.contains("16 frames from 0x4001 to 0xe0201"))
        notes.all = []
        _ = access(Self.own, 0x18, writes: 0xe040_0000)
        #expect(
            notes.all == [
                "- addresses 0xe0200000 to 0xe021ffff", "16 frames from 0xe0201 to 0x4001",
                "+ addresses 0xe0400000 to 0xe041ffff", "16 frames from 0x4001 to 0xe0401",
            ])
    }

    /// As while a guest sizes the BAR; up there are marks of servers, too.
    @Test(arguments: [0xffff_ffff_fffe_0000, 1 << 62 | 1 << 40, 1 << 52] as [UInt64])
    func aBARWhereNoProcessorReachesIsNowhere(address: UInt64) throws {
        placeAll()
        let lower = notes.record.places.filter { $0.region != 2 }
        notes.all = []
        _ = access(Self.own, 0x18, writes: address & 0xffff_ffff)
        _ = access(Self.own, 0x1c, writes: address >> 32)
        #expect(!notes.all.contains { $0.hasPrefix("+ addresses") && $0.count > 40 }, "\(notes.all)")
        #expect(notes.record.places.filter { $0.region != 2 } == lower)
        let words = try #require(notes.record.words)
        #expect(SlotRecord(words: words) == notes.record)
    }

    // MARK: What a killed process has left

    /// The function goes on in the slot, as another process would have it: with a record, and the state of now.
    private func goOn(from record: SlotRecord) throws -> PlacedFunction {
        notes.all = []
        return try PlacedFunction(
            placed.function, at: Self.slot, router: notes, guest: notes, memory: page, frames: notes,
            goingOnFrom: record)
    }

    private func placeAll() {
        _ = access(Self.own, 0x18, writes: 0xe020_0000)
        place()
    }

    @Test func whatIsWhereItIsToBeStaysThere() throws {
        placeAll()
        let record = notes.record
        #expect(record.places.count == 3 && record.parts == [.init(home: 0x4001, count: 16, now: 0xe0201)])
        _ = try goOn(from: record)
        #expect(notes.all.allSatisfy { $0.hasPrefix("+ ") || $0.hasPrefix("pin") }, "\(notes.all)")
        #expect(notes.record == record)
        #expect(access(.memory, 0xe000_0000) == 0x1_11e9)
    }

    @Test func whatIsElsewhereGoesWhereItIsToBe() throws {
        placeAll()
        var record = notes.record
        for index in record.places.indices where record.places[index].region == 2 {
            record.places[index].range = 0xd000_0000...0xd001_ffff
        }
        record.parts[0].now = 0xd0001
        try notes.release(.memory(0xe020_0000...0xe021_ffff))
        notes.inherit(.memory(0xd000_0000...0xd001_ffff))
        let next = try goOn(from: record)
        #expect(notes.all.contains("- addresses 0xd0000000 to 0xd001ffff"))
        #expect(notes.all.contains("16 frames from 0xd0001 to 0x4001"))
        #expect(notes.all.contains("+ addresses 0xe0200000 to 0xe021ffff"))
        #expect(notes.all.contains("16 frames from 0x4001 to 0xe0201"))
        #expect(notes.record.parts == [.init(home: 0x4001, count: 16, now: 0xe0201)])
        #expect(next.function === placed.function)
    }

    /// The process was killed before it could do what it had noted.
    @Test func whatWasOnlyMeantIsDone() throws {
        placeAll()
        var record = notes.record
        try notes.release(.memory(0xe020_0000...0xe021_ffff))
        record.parts = []
        _ = try goOn(from: record)
        #expect(notes.all.contains("+ addresses 0xe0200000 to 0xe021ffff"))
        #expect(notes.all.contains("16 frames from 0x4001 to 0xe0201"))
    }

    @Test func whatNoBARHasGoesHome() throws {
        let record = SlotRecord(places: [], parts: [.init(home: 0x4001, count: 16, now: 0xe0201)])
        _ = try goOn(from: record)
        #expect(notes.all.contains("16 frames from 0xe0201 to 0x4001"))
        #expect(notes.record == SlotRecord())
    }

    @Test func whoLeavesLeavesNothing() {
        placeAll()
        placed.leave()
        #expect(notes.record == SlotRecord())
        #expect(notes.all.contains("16 frames from 0xe0201 to 0x4001"))
        #expect(notes.all.count { $0.hasPrefix("- ") } == 3)
    }

    // MARK: BARs that overlap

    /// BAR 4 reads as zeros.
    @Test func ofTwoBARsThatOverlapTheFirstAnswers() {
        _ = access(Self.own, 0x04, width: 2, writes: 2)
        _ = access(Self.own, 0x20, writes: 0xe000_0000)
        _ = access(Self.own, 0x10, writes: 0xe000_0000)
        #expect(access(.memory, 0xe000_0000) == 0)
        _ = access(Self.own, 0x20, writes: 0xe100_0000)
        #expect(access(.memory, 0xe000_0000) == 0x1_11e9)
        #expect(access(.memory, 0xe100_0000) == 0)
        #expect(reports.withLock(\.isEmpty))
    }

    @Test func whatIsNotClaimedDoesNotAnswerWhereNothingOverlapsEither() {
        _ = access(Self.own, 0x04, width: 2, writes: 2)
        _ = access(Self.own, 0x10, writes: 0xe020_1000)
        _ = access(Self.own, 0x18, writes: 0xe020_0000)
        #expect(access(.memory, 0xe020_0000) == .max)
        #expect(access(.memory, 0xe020_1000) == 0x1_11e9)
    }

    @Test func memoryOfTheGuestsWaitsUntilItsBARHasItsPlace() {
        _ = access(Self.own, 0x04, width: 2, writes: 2)
        _ = access(Self.own, 0x10, writes: 0xe020_0000)
        notes.all = []
        _ = access(Self.own, 0x18, writes: 0xe020_0000)
        #expect(notes.all == ["+ addresses 0xe0200000 to 0xe021ffff"])
        notes.all = []
        _ = access(Self.own, 0x10, writes: 0xe100_0000)
        #expect(
            notes.all == [
                "- addresses 0xe0200000 to 0xe0200fff", "+ addresses 0xe0200000 to 0xe021ffff",
                "16 frames from 0x4001 to 0xe0201", "+ addresses 0xe1000000 to 0xe1000fff",
            ])
    }

    @Test func aBARThatNeverHadItsPlaceLeavesNothingThere() {
        _ = access(Self.own, 0x04, width: 2, writes: 2)
        _ = access(Self.own, 0x10, writes: 0xe020_0000)
        _ = access(Self.own, 0x18, writes: 0xe020_0000)
        notes.all = []
        _ = access(Self.own, 0x18, writes: 0xe040_0000)
        #expect(notes.all == ["+ addresses 0xe0400000 to 0xe041ffff", "16 frames from 0x4001 to 0xe0401"])
    }

    /// Whatever Xen makes of the one step, the others are taken.
    @Test func memoryOfTheGuestsGoesBackWhateverIsRefused() {
        _ = access(Self.own, 0x18, writes: 0xe020_0000)
        _ = access(Self.own, 0x04, width: 2, writes: 2)
        notes.all = []
        notes.refuses = true
        _ = access(Self.own, 0x04, width: 2, writes: 0)
        #expect(notes.all == ["- addresses 0xe0200000 to 0xe021ffff", "16 frames from 0xe0201 to 0x4001"])
    }

    @Test func accessesThatLeaveABARReachNothing() {
        place()
        #expect(access(.memory, 0xe000_0ffe) == .max)
        #expect(access(.ports, 0xe000_0000) == .max)
        _ = access(.memory, 0xe000_0002, width: 8, writes: .max)
        #expect(access(.memory, 0xe000_0004) == 0xffff_ffff)
    }

    @Test func aStringTakesItsValuesFromMemory() {
        place()
        page.bytes.replaceSubrange(16..<24, with: [1, 2, 3, 4, 5, 6, 7, 8])
        // Two registers of four bytes.
        _ = access(.memory, 0xe000_0008, count: 2, writes: 0, memory: 16)
        #expect(access(.memory, 0xe000_0008, width: 8) == 0x0807_0605_0403_0201)
        _ = access(.memory, 0xe000_000c, count: 2, isDownwards: true, memory: 0x104)
        #expect(Array(page.bytes[0x100..<0x108]) == [1, 2, 3, 4, 5, 6, 7, 8])
    }

    @Test func aStringWithoutMemoryWritesAllOnesAndLosesWhatItReads() {
        place()
        _ = access(.memory, 0xe000_0004, writes: 0, memory: 1 << 40)
        #expect(access(.memory, 0xe000_0004) == 0xffff_ffff)
        _ = access(.memory, 0xe000_0000, count: 2, memory: 4092)
        #expect(Array(page.bytes[4092...]) == [0xe9, 0x11, 1, 0])
    }

    @Test func aStringMovesABAROnce() {
        place()
        for index in 0..<4 { page.bytes.replaceSubrange(4 * index..<4 * index + 4, with: [0, 0, UInt8(index), 0xe1]) }
        notes.all = []
        let string = Request.Access(
            space: Self.own, address: 0x10, width: 4, count: 4, isRead: false, isDownwards: false, data: .memory(0))
        _ = placed.answer(string)
        #expect(notes.all == ["- addresses 0xe0000000 to 0xe0000fff", "+ addresses 0xe1030000 to 0xe1030fff"])
    }

    @Test func theAddressPortKeepsWhatIsWritten() {
        #expect(access(.ports, 0xcf8) == .max)
        placed.addressPort = AddressPort()
        #expect(access(.ports, 0xcf8) == 0)
        _ = access(.ports, 0xcf8, writes: 0x8000_2804)
        _ = access(.ports, 0xcfb, width: 1, writes: 1)
        #expect(access(.ports, 0xcf8) == 0x8000_2804)
        #expect(access(.ports, 0xcfa, width: 2) & 0xffff == 0x8000)
        #expect(access(.ports, 0xcfa) == .max)
    }

    /// To look for a page that isn't there is a call of Xen's.
    @Test(arguments: [nil, 0]) func aStringWithoutMemoryLooksForItOnce(value: UInt64?) {
        place()
        _ = access(.ports, 0xc000, count: 512, writes: value, memory: 1 << 40)
        #expect(page.timesAsked == 1)
    }

    @Test func messagesGoOutByAddressAndData() throws {
        place()
        // MSI: address, data, enabled.
        var position = access(Self.own, 0x34, width: 1)
        while access(Self.own, position, width: 1) != 5 { position = access(Self.own, position + 1, width: 1) }
        _ = access(Self.own, position + 4, writes: 0xfee0_0000)
        _ = access(Self.own, position + 12, width: 2, writes: 0x42)
        _ = access(Self.own, position + 2, width: 2, writes: 1)
        _ = access(.memory, 0xe000_0010, writes: 0)
        #expect(notes.all.last == "message 66")
    }

    @Test func thePinHasALevel() {
        place()
        _ = access(.memory, 0xe000_0014, writes: 1)
        #expect(notes.all.last == "pin a of 5: true")
        _ = access(.memory, 0xe000_0018, writes: 1)
        #expect(notes.all.last == "pin a of 5: false")
    }

    /// The guest can have any number of things refused.
    @Test func refusalsAreReportedAndNotForEver() {
        notes.refuses = true
        for index in UInt64(0)..<40 { _ = access(Self.own, 0x10, writes: 0xe000_0000 + index << 12) }
        _ = access(Self.own, 0x04, width: 2, writes: 2)
        for index in UInt64(0)..<40 { _ = access(Self.own, 0x10, writes: 0xe000_0000 + index << 12) }
        #expect(reports.withLock(\.count) == 16)
        #expect(reports.withLock(\.first)?.contains("addresses 0xe0027000 to 0xe0027fff") == true)
    }
}

extension RequestServer.Claim {
    fileprivate func overlaps(_ other: Self) -> Bool {
        switch (self, other) {
        case (.ports(let range), .ports(let other)), (.memory(let range), .memory(let other)): range.overlaps(other)
        case (.function(let address), .function(let other)): address == other
        default: false
        }
    }
}
