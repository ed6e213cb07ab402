import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient
import VFIOUserServer

/// Clients that come, go, and meet.
@Suite struct ConcurrencyTests {
    @Test func aPollingServerAnswersAndStops() throws {
        var configuration = Server.Configuration()
        configuration.isPolling = true
        let device = try ServedDevice("exerciser", configuration: configuration)
        let client = try device.client()
        for number in 0..<100 as Range<UInt32> {
            try client.write(number, region: 0, offset: 4)
            #expect(try client.read(UInt32.self, region: 0, offset: 4) == number)
        }
        #expect(device.onThread { _, _ in 7 } == 7)
        device.stop()
    }

    @Test func otherEventsReachTheDeviceBetweenMessages() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        for number in 0..<200 as Range<UInt32> {
            #expect(device.onThread { _, _ in number } == number)
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
