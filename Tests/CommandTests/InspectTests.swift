import Foundation
import JSON
import Linux
import Testing
import VFIOUser

@Suite struct InspectTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    @Test func inspectShowsWhatAServerOffers() throws {
        let display = try RunningDevice("bochs-display", "-o", "vram=4M", in: scratch)
        let outcome = try Command.run("inspect", display.socket)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("\n0x1234:0x1111, class 0x038000, revision 0x02\n"))
        #expect(
            outcome.output.contains("\nRegion bar0: size 4M, read write mmap, memory 32-bit prefetchable unassigned\n"))
        #expect(outcome.output.contains("\n00: 34 12 11 11 "))
        let serial = try RunningDevice("serial", in: scratch, socket: "serial")
        let other = try Command.run("inspect", serial.socket)
        #expect(other.output.contains("\nInterrupt: pin A\n"))
        #expect(other.output.contains("\nRegion bar0: size 8, read write, I/O unassigned\n"))
        #expect(other.output.contains("\nInterrupts intx: 1, eventfd maskable automasked"))
    }

    @Test func inspectAsJSONSaysTheSame() throws {
        let display = try RunningDevice("bochs-display", "-o", "vram=4M", in: scratch)
        let json = try JSON(parsing: Command.run("inspect", display.socket, "--json").output)
        #expect(json["vendor"] == 0x1234)
        #expect(json["class"] == 0x038000)
        let memory = try #require(json["regions"]?.array?.first { $0["name"] == "bar0" })
        #expect(memory["size"] == 4_194_304)
        #expect(memory["flags"] == ["read", "write", "mmap"])
        #expect(json["configuration"]?.string?.hasPrefix("34121111") == true)
    }

    @Test func aDeviceInUseIsSaidSo() throws {
        let display = try RunningDevice("bochs-display", in: scratch)
        let client = try Client(path: display.socket)
        let outcome = try Command.run("inspect", display.socket)
        #expect(outcome.status == 69)
        #expect(outcome.errors == "mediated: The device at '\(display.socket)' is in use by another client.\n")
        _ = try client.deviceInfo()
    }

    @Test func nobodyThereIsSaidSo() throws {
        let none = try Command.run("inspect", scratch.path("none"))
        #expect(none.status == 66)
        #expect(none.errors == "mediated: There is no socket at '\(scratch.path("none"))'.\n")
        try leaveDeadSocket(at: scratch.path("dead"))
        #expect(try Command.run("inspect", scratch.path("dead")).status == 69)
        #expect(try Command.run("inspect", String(repeating: "x", count: 200)).status == 64)
    }

    @Test func whatIsNoServerIsSaidSo() throws {
        let impostor = try Impostor(
            at: scratch.path("socket"), saying: "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        let outcome = try Command.run("inspect", scratch.path("socket"))
        #expect([69, 76].contains(outcome.status))
        #expect(outcome.errors.hasPrefix("mediated: "))
        impostor.end()
    }
}
