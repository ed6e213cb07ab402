import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUser

/// Clients that come, go, and meet.
@Suite struct SessionTests {
    @Test func theDeviceKeepsItsStateAndDropsWhatWasTheClients() throws {
        let device = try ServedDevice("exerciser")
        let memory = try MemoryFile(name: "left-behind", size: 4096)
        let event = try EventFD()
        let first = try device.rawClient()
        try first.negotiate()
        _ = try first.call(.regionWrite, fields(UInt64(4), UInt32(0), UInt32(4), UInt32(0xabcd)))
        _ = try first.call(
            .dmaMap, fields(UInt32(32), UInt32(3), UInt64(0), UInt64(0), UInt64(4096)),
            descriptors: [memory.descriptor.raw])
        _ = try first.call(
            .deviceSetIRQs, fields(UInt32(24), UInt32(0x24), UInt32(2), UInt32(0), UInt32(1)),
            descriptors: [event.descriptor.raw])
        try first.leave()

        let second = try device.client()
        #expect(try second.read(UInt32.self, region: 0, offset: 4) == 0xabcd)
        #expect(try openDescriptors(ofMemoryFile: "left-behind") == 1)
        try second.write(UInt32(0), region: 0, offset: 0x10)
        #expect(event.consume() == 0)
        try fill(second, 0, 8, with: 1)
        #expect(try second.read(UInt32.self, region: 0, offset: 0x3c) == 3)
    }

    @Test func aSecondClientIsRefusedAndTheFirstGoesOn() throws {
        let connection = try Connection()
        let second = try connection.device.rawClient()
        let refusal = try second.negotiate()
        #expect(refusal.errno == .resourceBusy)
        #expect(try second.isClosedByServer())
        #expect(try connection.raw.call(.deviceReset).errno == nil)
        #expect(throws: ClientError.refused(.version, .resourceBusy)) { try connection.device.client() }
    }

    @Test func silentClientsDoNotKeepTheDoor() throws {
        let connection = try Connection()
        let silent = try (0..<40).map { _ in try connection.device.rawClient() }
        #expect(try connection.device.rawClient().negotiate().errno == .resourceBusy)
        #expect(try silent[0].isClosedByServer())
        #expect(try connection.raw.call(.deviceReset).errno == nil)
    }

    @Test(arguments: [1, 15, 16, 20])
    func aClientMayLeaveInTheMiddleOfAMessage(count: Int) throws {
        let device = try ServedDevice("exerciser")
        let first = try device.rawClient()
        try first.negotiate()
        try first.send(Array(RawClient.message(9, payload: fields(UInt64(0), UInt32(0), UInt32(4))).prefix(count)))
        try first.leave()
        #expect(try device.rawClient().negotiate().errno == nil)
    }

    @Test func theServerStopsWithAClientConnected() throws {
        let connection = try Connection()
        connection.device.stop()
        #expect(try connection.raw.isClosedByServer())
        #expect(throws: Errno.noSuchFileOrDirectory) { try RawClient(path: connection.device.path) }
    }

    @Test func aPollingServerAnswersAndStops() throws {
        let device = try ServedDevice("exerciser") { $0.isPolling = true }
        let client = try device.client()
        for number in 0..<100 as Range<UInt32> {
            try client.write(number, region: 0, offset: 4)
            #expect(try client.read(UInt32.self, region: 0, offset: 4) == number)
        }
        #expect(try device.onThread { _ in 7 } == 7)
        device.stop()
    }

    @Test func otherEventsReachTheDeviceBetweenMessages() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        for number in 0..<200 as Range<UInt32> {
            #expect(try device.onThread { _ in number } == number)
            #expect(try client.read(UInt32.self, region: 0, offset: 0) == 0x0001_11e9)
        }
    }

    @Test func devicesOfOneProcessAreApart() throws {
        let devices = try (0..<4).map { _ in try ServedDevice("exerciser") }
        let clients = try devices.map { try $0.client() }
        for (number, client) in clients.enumerated() { try client.write(UInt32(number), region: 0, offset: 4) }
        for (number, client) in clients.enumerated() {
            #expect(try client.read(UInt32.self, region: 0, offset: 4) == UInt32(number))
        }
    }
}
