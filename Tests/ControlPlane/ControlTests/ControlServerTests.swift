import Control
import Glibc
import JSON
import LingeringSocket
import Linux
import Testing

@Suite struct ControlServerTests {
    @Test(arguments: [
        ("", "malformed"), ("x", "malformed"), ("\0", "malformed"), ("[]", "malformed"), ("{}", "version"),
        (#"{"request":"info"}"#, "version"), (#"{"version":2,"request":"info"}"#, "version"),
        (#"{"version":"1","request":"info"}"#, "version"), (#"{"version":1}"#, "unknown-request"),
        (#"{"version":1,"request":"reboot"}"#, "unknown-request"), (#"{"version":1,"request":1}"#, "unknown-request"),
        (#"{"version":1,"request":"screenshot","head":-1}"#, "malformed"),
        (#"{"version":1,"request":"screenshot","head":"0"}"#, "malformed"),
        (#"{"version":1,"request":"screenshot","head":3}"#, "no-such-head"),
        (#"{"version":1,"request":"screenshot","head":1}"#, "nothing-shown"),
        (#"{"version":1,"request":"events","after":-1}"#, "malformed"),
        (#"{"version":1,"request":"events","after":"1"}"#, "malformed"),
        (#"{"version":1,"request":"events","after":99999999999999999999}"#, "malformed"),
        (#"{"version":1,"version":1,"request":"info"}"#, "malformed"),
        (String(repeating: "[", count: 4000), "malformed"),
    ])
    func aWrongRequestIsRefusedAndTheNextOneAnswered(line: String, code: String) throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            try peer.send(line + "\n")
            let refusal = try peer.lines(1)[0]
            #expect(refusal["error"]?["code"] == .string(code))
            #expect(refusal["error"]?["message"]?.string?.isEmpty == false)
            #expect(refusal["version"] == 1)
            try peer.send(#"{"version":1,"request":"statistics"}"# + "\n")
            #expect(try peer.lines(1) == [["version": 1, "result": ["reads": .init(UInt64.max)]]])
        }
    }

    @Test func invalidUTF8IsRefused() throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            let bytes: [UInt8] = [0x22, 0xFF, 0x22, 0x0A]
            try peer.socket.send(bytes.span.bytes)
            #expect(try peer.lines(1)[0]["error"]?["code"] == "malformed")
        }
    }

    @Test func aLineWithoutEndIsRefusedAndTheConnectionClosed() throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            try peer.send(String(repeating: "x", count: ControlServer.lineLimit))
            #expect(try peer.lines(1)[0]["error"]?["code"] == "malformed")
            #expect(try peer.receive() == nil)
        }
    }

    @Test func theLongestLineIsTaken() throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            let request = #"{"version":1,"request":"statistics"}"#
            let padding = String(repeating: " ", count: ControlServer.lineLimit - 1 - request.utf8.count)
            try peer.send(request + padding + "\n")
            #expect(try peer.lines(1)[0]["result"] != nil)
        }
    }

    @Test func requestsThatComeTogetherAreAnsweredInOrder() throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            try peer.send(
                "1\n" + #"{"version":1,"request":"info"}"# + "\n\n" + #"{"version":1,"request":"statistics"}"# + "\n")
            let replies = try peer.lines(4)
            #expect(replies.map { $0["error"]?["code"]?.string } == ["malformed", nil, "malformed", nil])
            #expect(replies[1]["result"]?["type"] == "test")
            #expect(replies[3]["result"]?["reads"] != nil)
        }
    }

    @Test func aRequestMayComeByteByByte() throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            for character in #"{"version":1,"request":"info"}"# + "\n" { try peer.send(String(character)) }
            #expect(try peer.lines(1)[0]["result"]?["socket"] == "/run/x")
        }
    }

    @Test func aPeerThatEndsItsSideGetsItsAnswer() throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            try peer.send(#"{"version":1,"request":"info"}"# + "\n{")
            shutdown(peer.socket.descriptor.raw, Int32(SHUT_WR))
            #expect(try peer.lines(1)[0]["result"] != nil)
            #expect(try peer.receive() == nil)
        }
    }

    @Test func descriptorsThatNobodyAskedForAreClosed() throws {
        try withDeviceProcess(takesDescriptors: true) { process in
            let peer = try RawPeer(process.path)
            // The peer's end tells when nobody else holds the other.
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            let reading = Descriptor(owning: ends[0])
            let writing = Descriptor(owning: ends[1])
            try peer.socket.send(Array("1\n".utf8).span.bytes, descriptors: [writing.raw, writing.raw])
            #expect(try peer.lines(1)[0]["error"] != nil)
            _ = consume writing
            let rest = try reading.readBytes(upTo: 1)
            #expect(rest == [])
        }
    }

    /// As on a kernel that can't keep them from it.
    @Test(arguments: [1, 253])
    func whoeverSendsWhatHangsWhenItIsClosedHoldsUpNobody(_ count: Int) throws {
        try withDeviceProcess(takesDescriptors: true) { process in
            for request in ["1\n", "1", "{\"version\":1,\"request\":\"info\"}\n"] {
                let peer = try RawPeer(process.path)
                let socket = try LingeringSocket()
                try peer.send(request, descriptors: Array(repeating: socket.raw, count: count))
                socket.handOverAside()
                #expect(try ControlClient(connectingTo: process.path, patience: .seconds(60)).info().type == "test")
                withExtendedLifetime(socket) {}
            }
        }
    }

    @Test func aPeerThatReadsNothingHoldsUpNobody() throws {
        try withDeviceProcess { process in
            let slow = try RawPeer(process.path)
            let flood = String(repeating: #"{"version":1,"request":"info"}"# + "\n", count: 100)
            // Once nothing more goes in the server has stopped reading, for its replies don't get out.
            var sent = 0
            while try slow.socket.waitWritable(within: .milliseconds(100)), sent < 10_000 {
                _ = try slow.socket.sendAvailable(Array(flood.utf8).span.bytes)
                sent += 1
            }
            #expect(sent < 10_000)
            let client = try ControlClient(connectingTo: process.path)
            #expect(try client.info().type == "test")
        }
    }

    @Test func theConnectionThatIsSilentTheLongestMakesRoom() throws {
        try withDeviceProcess { process in
            let silent = try RawPeer(process.path)
            let clients = try (0..<ControlServer.connectionLimit).map { _ in
                let client = try ControlClient(connectingTo: process.path)
                _ = try client.info()
                return client
            }
            let isDropped = try silent.socket.waitReadable(within: .seconds(10))
            #expect(isDropped)
            for client in clients { #expect(try client.info().type == "test") }
            let late = try ControlClient(connectingTo: process.path)
            #expect(try late.info().type == "test")
            #expect(throws: ControlClientError.closed) { try clients[0].info() }
        }
    }

    @Test func connectionsThatComeAndGoLeaveNothing() throws {
        try withDeviceProcess { process in
            for _ in 0..<200 {
                let peer = try RawPeer(process.path)
                try peer.send("{\"version\"")
            }
            #expect(try ControlClient(connectingTo: process.path).info().type == "test")
        }
    }

    @Test func thePathIsForItsOwnerAndGoesAwayWithTheServer() throws {
        let process = try DeviceProcess()
        var status = stat()
        #expect(lstat(process.path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        process.end()
        #expect(lstat(process.path, &status) == -1)
    }
}
