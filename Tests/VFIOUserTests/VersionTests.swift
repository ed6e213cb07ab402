import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUser

/// VFIO_USER_VERSION
@Suite struct VersionTests {
    private func version(_ major: UInt16 = 0, _ minor: UInt16 = 0, _ text: String, nul: [UInt8] = [0]) -> [UInt8] {
        fields(major, minor) + Array(text.utf8) + nul
    }

    @Test func theReplyToQEMUFitsItsBuffer() throws {
        let device = try ServedDevice("exerciser")
        let reply = try device.rawClient().negotiate()
        #expect(reply.errno == nil)
        #expect(16 + reply.payload.count <= 214)
        #expect(reply.payload.prefix(4) == [0, 0, 0, 0])
        #expect(reply.payload.last == 0)
        let text = String(decoding: reply.payload.dropFirst(4).dropLast(), as: UTF8.self)
        #expect(text.contains("\"max_msg_fds\":16"))
        #expect(text.contains("\"write_multiple\":true"))
        #expect(text.contains("\"max_data_xfer_size\":1048576"))
    }

    @Test func onlyWhatWasOfferedIsAnswered() throws {
        let device = try ServedDevice("exerciser")
        let reply = try device.rawClient().negotiate("{}")
        let text = String(decoding: reply.payload, as: UTF8.self)
        #expect(reply.errno == nil)
        #expect(!text.contains("write_multiple"))
        #expect(!text.contains("twin_socket"))
        #expect(!text.contains("migration"))
        #expect(text.contains("\"max_msg_fds\":1,"))
    }

    @Test func theCapabilitiesMayBeLeftOut() throws {
        let device = try ServedDevice("exerciser")
        #expect(try device.rawClient().call(.version, fields(UInt16(0), UInt16(0))).errno == nil)
    }

    @Test func aHigherMinorVersionIsAnsweredWithOurs() throws {
        let device = try ServedDevice("exerciser")
        let reply = try device.rawClient().call(.version, version(0, 7, "{}"))
        #expect(reply.errno == nil)
        #expect(reply.payload.number(UInt16.self, at: 2) == 0)
    }

    @Test func anotherMajorVersionEndsTheConnection() throws {
        let device = try ServedDevice("exerciser")
        let raw = try device.rawClient()
        #expect(try raw.call(.version, version(1, 0, "{}")).errno == .notSupported)
        #expect(try raw.isClosedByServer())
        #expect(try device.rawClient().negotiate().errno == nil)
    }

    @Test(arguments: [
        "", "[]", "{", "{}x", "{\"capabilities\":3}", "{\"capabilities\":{\"max_msg_fds\":-1}}",
        "{\"capabilities\":{\"max_msg_fds\":0}}", "{\"capabilities\":{\"max_data_xfer_size\":\"big\"}}",
        "{\"capabilities\":{\"write_multiple\":1}}", "{\"capabilities\":{\"twin_socket\":true}}",
        "{\"capabilities\":{\"migration\":[]}}", "{\"capabilities\":{\"pgsizes\":99999999999999999999}}",
    ])
    func malformedCapabilitiesAreInvalid(text: String) throws {
        let device = try ServedDevice("exerciser")
        let raw = try device.rawClient()
        #expect(try raw.call(.version, version(0, 0, text)).errno == .invalidArgument)
        #expect(try device.rawClient().negotiate().errno == nil)
    }

    @Test func textThatIsNotTerminatedIsInvalid() throws {
        let device = try ServedDevice("exerciser")
        #expect(try device.rawClient().call(.version, version(0, 0, "{}", nul: [])).errno == .invalidArgument)
    }

    @Test(arguments: [0, 1, 3])
    func aShortMessageIsInvalid(size: Int) throws {
        let device = try ServedDevice("exerciser")
        let raw = try device.rawClient()
        #expect(try raw.call(.version, [UInt8](repeating: 0, count: size)).errno == .invalidArgument)
    }

    @Test func aSecondVersionMessageIsInvalid() throws {
        let connection = try Connection()
        try connection.expect(.invalidArgument, .version, version(0, 0, "{}"))
    }

    @Test(arguments: Command.allCases.filter { $0 != .version })
    func nothingElseMayComeFirst(command: Command) throws {
        let device = try ServedDevice("exerciser")
        let raw = try device.rawClient()
        #expect(try raw.call(command, [UInt8](repeating: 0, count: 32)).errno == .invalidArgument)
        #expect(try device.rawClient().negotiate().errno == nil)
    }

    @Test func aTwinSocketIsOpenedForWhoAsks() throws {
        let device = try ServedDevice("exerciser")
        let reply = try device.rawClient().negotiate("{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}")
        #expect(reply.descriptorCount == 1)
        #expect(String(decoding: reply.payload, as: UTF8.self).contains("\"fd_index\":0"))
    }

    @Test func theClientUnderstandsWhatTheServerSays() throws {
        let device = try ServedDevice("exerciser")
        let client = try device.client()
        #expect(client.server.maxMessageFDs == 64)
        #expect(client.server.writeMultiple)
        #expect(client.server.maxDMAMaps == 65_535)
    }
}
