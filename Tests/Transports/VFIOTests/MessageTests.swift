import Testing

@testable import VFIO

/// What is written is read again, and nothing shorter or longer.
@Suite struct MessageTests {
    private func bytes(_ write: (inout MutableRawSpan) -> Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xaa, count: 8192)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let count = write(&raw)
        return Array(bytes.prefix(count))
    }

    @Test(arguments: Command.allCases)
    func aHeaderComesBack(_ command: Command) {
        let header = MessageHeader(command, id: 0xbeef, payload: 100, flags: .noReply)
        let bytes = bytes {
            header.write(into: &$0)
            return MessageHeader.size
        }
        #expect(MessageHeader(bytes.span.bytes) == header)
        #expect(header.messageSize == 116 && header.type == .command)
        let error = header.reply(payload: 50, error: 22)
        #expect(error.messageSize == 16 && error.id == 0xbeef && error.type == .reply && error.error == 22)
        #expect(header.reply(payload: 50).messageSize == 66)
    }

    @Test(arguments: 2...15 as ClosedRange<UInt32>)
    func otherTypesAreNone(_ type: UInt32) {
        let header = MessageHeader(id: 0, command: 1, messageSize: 16, flags: .init(rawValue: type), error: 0)
        #expect(header.type == nil)
    }

    @Test func aDMAMapComesBack() throws {
        let map = DMAMap(flags: [.read, .write], offset: 1 << 40, address: .max - 4095, length: 4096)
        let bytes = bytes(map.write)
        #expect(bytes.count == DMAMap.size)
        #expect(try DMAMap(bytes.span.bytes) == map)
    }

    @Test(arguments: [
        DMAUnmap(address: 0x1000, length: 0x2000), DMAUnmap(address: 0, length: 0, all: true),
        DMAUnmap(address: 0x1000, length: 0x2000, bitmap: .init(pageSize: 4096, size: 8)),
    ])
    func aDMAUnmapComesBack(_ unmap: DMAUnmap) throws {
        #expect(try DMAUnmap(bytes(unmap.write).span.bytes) == unmap)
    }

    @Test func deviceInfoComesBack() throws {
        let info = DeviceInfo(flags: [.pci, .reset], regionCount: 9, irqCount: 5)
        #expect(try DeviceInfo(bytes(info.write).span.bytes) == info)
    }

    @Test func aRegionRequestComesBack() throws {
        let request = RegionInfo.Request(index: 8, argumentSize: 72)
        #expect(try RegionInfo.Request(bytes(request.write).span.bytes) == request)
    }

    @Test(arguments: [
        RegionInfo(index: 0), RegionInfo(index: 1, flags: [.read, .write, .mmap], length: 4096, offset: 8192),
        RegionInfo(
            index: 2, flags: [.read, .mmap], length: 1 << 20,
            sparseAreas: [.init(offset: 4096, size: 4096), .init(offset: 16384, size: 8192)]),
        RegionInfo(index: 9, flags: .read, length: 16, specific: .init(type: 7, subtype: 8)),
        RegionInfo(
            index: 9, flags: .read, length: 1 << 20, sparseAreas: [.init(offset: 0, size: 4096)],
            specific: .init(type: 7, subtype: 8)),
    ])
    func regionInfoComesBack(_ info: RegionInfo) throws {
        let bytes = bytes { info.write(into: &$0, argumentSize: .max).count }
        #expect(bytes.count == info.fullSize)
        let reply = try RegionInfo.Reply(bytes.span.bytes)
        #expect(reply.info == info && reply.argumentSize == UInt32(info.fullSize))
        if info.fullSize > RegionInfo.size {
            for count in RegionInfo.size..<info.fullSize {
                #expect(throws: MalformedMessage.self) { try RegionInfo.Reply(Array(bytes.prefix(count)).span.bytes) }
            }
        }
    }

    @Test func aCapabilityListThatLoopsIsMalformed() throws {
        let info = RegionInfo(index: 9, specific: .init(type: 7, subtype: 8))
        var bytes = bytes { info.write(into: &$0, argumentSize: .max).count }
        bytes[RegionInfo.size + 4] = UInt8(RegionInfo.size)
        #expect(throws: MalformedMessage.self) { try RegionInfo.Reply(bytes.span.bytes) }
    }

    @Test func thereAreNoMoreSparseAreasThanOneAnswerDescribes() throws {
        let areas = [RegionInfo.Area](repeating: .init(offset: 0, size: 4096), count: RegionInfo.maximumAreas)
        let info = RegionInfo(index: 0, sparseAreas: areas)
        var most = [UInt8](repeating: 0, count: info.fullSize)
        var span = most.mutableSpan
        var raw = span.mutableBytes
        _ = info.write(into: &raw, argumentSize: .max)
        #expect(try RegionInfo.Reply(most.span.bytes).info == info)
        // The first capability again, behind itself.
        let again = Array(most[RegionInfo.size...])
        most.replaceSubrange(RegionInfo.size + 4..<RegionInfo.size + 8, with: bytes { $0.store(UInt32(info.fullSize)) })
        #expect(throws: MalformedMessage.self) { try RegionInfo.Reply((most + again).span.bytes) }
    }

    @Test func whatAPeerWritesIsQuotedInPartOnly() throws {
        let text = #"{"capabilities":{"max_msg_fds":""# + String(repeating: "x", count: 100_000) + #""}}"#
        let payload = [0, 0, 0, 0] + Array(text.utf8) + [0]
        let error = #expect(throws: MalformedMessage.self) { try Capabilities.Message(payload.span.bytes) }
        #expect(error.map { $0.description.count < 200 } == true)
    }

    @Test func regionIOFDsComeBack() throws {
        let request = RegionIOFDs.Request(index: 3, argumentSize: 96)
        #expect(try RegionIOFDs.Request(bytes(request.write).span.bytes) == request)
        let info = RegionIOFDs(
            index: 3,
            entries: [
                .init(offset: 0, size: 4, descriptorIndex: 0, kind: .ioeventfd),
                .init(offset: 8, size: 0, descriptorIndex: 1, kind: .shadowIOEventFD, flags: 1, datamatch: .max),
            ])
        let full = bytes { info.write(into: &$0, argumentSize: .max).count }
        #expect(try RegionIOFDs.Reply(full.span.bytes).info == info)
        let short = bytes { info.write(into: &$0, argumentSize: UInt32(info.fullSize - 1)).count }
        #expect(short.count == RegionIOFDs.size)
        #expect(try RegionIOFDs.Reply(short.span.bytes).argumentSize == UInt32(info.fullSize))
    }

    @Test func irqInfoComesBack() throws {
        let info = IRQInfo(index: 2, flags: [.eventfd, .maskable, .automasked, .noResize], count: 2048)
        #expect(try IRQInfo(bytes(info.write).span.bytes) == info)
    }

    @Test(arguments: [IRQSet.DataType.none, .bool, .eventfd], [IRQSet.Action.mask, .unmask, .trigger])
    func anIRQSetComesBack(_ data: IRQSet.DataType, _ action: IRQSet.Action) throws {
        let set = IRQSet(kind: .msix, start: 3, count: 4, data: data, action: action)
        let fixed = bytes(set.write)
        let whole = data == .bool ? fixed + [0, 1, 0, 1] : fixed
        #expect(try IRQSet(whole.span.bytes) == set)
        #expect(throws: MalformedMessage.self) { try IRQSet((whole + [0]).span.bytes) }
    }

    @Test func aRegionAccessComesBack() throws {
        let access = RegionAccess(region: 5, offset: .max, count: 3)
        let fixed = bytes { access.write(into: &$0) }
        #expect(try RegionAccess(read: fixed.span.bytes) == access)
        #expect(try RegionAccess(withData: (fixed + [1, 2, 3]).span.bytes) == access)
        #expect(throws: MalformedMessage.self) { try RegionAccess(withData: (fixed + [1, 2]).span.bytes) }
        #expect(throws: MalformedMessage.self) { try RegionAccess(read: (fixed + [1]).span.bytes) }
    }

    @Test func smallWritesComeBack() throws {
        let writes = (1...8).map {
            SmallRegionWrite(region: UInt32($0), offset: UInt64($0) << 60, count: UInt32($0), data: .max)
        }
        let payload = bytes { bytes in
            bytes.storeBytes(of: UInt64(writes.count), toByteOffset: 0, as: UInt64.self)
            for (number, write) in writes.enumerated() { write.write(into: &bytes, number: number) }
            return 8 + writes.count * SmallRegionWrite.size
        }
        #expect(try SmallRegionWrite.count(payload.span.bytes) == 8)
        for (number, write) in writes.enumerated() {
            #expect(try SmallRegionWrite(number: number, of: payload.span.bytes) == write)
            #expect(SmallRegionWrite.dataOffset(number: number) == 8 + 24 * number + 16)
        }
    }

    @Test(arguments: [0, 1, 3, 1 << 63, UInt64(Int64.max), .max] as [UInt64])
    func aDMATransferHasAsManyBytesAsItSays(_ count: UInt64) {
        let bytes = bytes(DMATransfer(address: 0, count: count).write) + [1, 2]
        #expect(throws: MalformedMessage.self) { try DMATransfer(withData: bytes.span.bytes) }
    }

    @Test func aDMATransferComesBack() throws {
        let transfer = DMATransfer(address: 1 << 63, count: 2)
        let fixed = bytes { transfer.write(into: &$0) }
        #expect(try DMATransfer(read: fixed.span.bytes) == transfer)
        #expect(try DMATransfer(withData: (fixed + [1, 2]).span.bytes) == transfer)
        #expect(try DMATransfer(writeReply: fixed.span.bytes) == transfer)
        let short = Array(fixed.prefix(12))
        #expect(try DMATransfer(writeReply: short.span.bytes) == transfer)
        #expect(throws: MalformedMessage.self) { try DMATransfer(writeReply: Array(fixed.prefix(11)).span.bytes) }
    }

    @Test func featuresComeBack() throws {
        let feature = DeviceFeature(.migrationState, [.set, .probe], argumentSize: 16)
        #expect(try DeviceFeature(bytes { feature.write(into: &$0) }.span.bytes) == feature)
        let flags: MigrationFlags = [.stopCopy, .preCopy]
        #expect(try MigrationFlags(bytes { flags.write(into: &$0, at: 0) }.span.bytes) == flags)
        for state in MigrationState.allCases {
            let data = MigrationStateData(state)
            #expect(try MigrationStateData(bytes { data.write(into: &$0, at: 0) }.span.bytes) == data)
        }
        let control = DMALoggingControl(
            pageSize: 4096, ranges: [.init(address: 0, length: 4096), .init(address: 1 << 40, length: 1 << 30)])
        #expect(try DMALoggingControl(bytes { control.write(into: &$0, at: 0) }.span.bytes) == control)
        let report = DMALoggingReport(address: 1, length: 2, pageSize: 3)
        #expect(try DMALoggingReport(bytes { report.write(into: &$0, at: 0) }.span.bytes) == report)
        let data = MigrationData(count: 3)
        let fixed = bytes { data.write(into: &$0) }
        #expect(try MigrationData(read: fixed.span.bytes) == data)
        #expect(try MigrationData(withData: (fixed + [1, 2, 3]).span.bytes) == data)
    }

    @Test func capabilitiesComeBack() throws {
        var capabilities = Capabilities()
        capabilities.maxMessageFDs = 64
        capabilities.maxDataTransfer = 4096
        capabilities.maxDMAMaps = 17
        capabilities.pageSizes = 0x1000
        capabilities.writeMultiple = true
        capabilities.migrationPageSize = 4096
        for twin in [nil, Capabilities.TwinSocket.supported, .descriptor(index: 3)] {
            capabilities.twinSocket = twin
            let message = try Capabilities.Message(bytes { capabilities.write(into: &$0) }.span.bytes)
            #expect(message.capabilities == capabilities)
        }
    }
}
