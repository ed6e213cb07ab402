import FakeGuest
import Foundation
import JSON
import Linux
import Programs
import Testing
import VFIO
import VFIOUserClient

@Suite struct InspectTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    @Test func inspectShowsWhatAServerOffers() throws {
        let display = try RunningDevice("bochs-display", "-o", "vram=4M", in: scratch)
        let outcome = try Command.run("inspect", display.socket)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.hasPrefix("\(display.socket) Display controller [0380]: Device [1234:1111] (rev 02)\n"))
        #expect(outcome.output.contains("\n\tSubsystem: Device [1234:1111]\n"))
        #expect(
            outcome.output.contains(
                "\n\tRegion 0: Memory at <unassigned> (32-bit, prefetchable) [disabled] [size=4M]\n"
                    + "\t\tAccess: read+ write+ mmap+ Offset=0x0\n"))
        let serial = try RunningDevice("serial", in: scratch, socket: "serial")
        let other = try Command.run("inspect", serial.socket)
        #expect(other.output.contains("\n\tInterrupt: pin A\n"))
        #expect(other.output.contains("\n\tRegion 0: I/O ports at <unassigned> [disabled] [size=8]\n"))
        #expect(
            other.output.contains("\n\tInterrupts intx: Count=1 eventfd+ maskable+ automasked+ noresize-\n"))
        #expect(other.output.contains("\n\tMigration: stop-copy+ p2p- pre-copy- State=running dirty-log+\n"))
    }

    @Test func doorbellsAndCapabilitiesAreShown() throws {
        let exerciser = try RunningDevice("exerciser", in: scratch)
        let text = try Command.run("inspect", exerciser.socket).output
        #expect(text.contains("\n\t\tDoorbell: Offset=0x80 Width=4\n"))
        #expect(text.contains("\n\t\tMmap: Offset=0x1000 [size=64K]\n"))
        #expect(text.contains("\n\tCapabilities: [9c] MSI-X: Enable- Count=8 Masked-\n"))
        #expect(text.contains("\n\t\tPBA: BAR=4 Offset=00000800\n"))
        #expect(!text.contains("Problem"))
    }

    @Test func inspectAsJSONSaysTheSame() throws {
        let display = try RunningDevice("bochs-display", "-o", "vram=4M", in: scratch)
        let json = try JSON(parsing: Command.run("inspect", display.socket, "--json").output)
        #expect(json["vendor"] == 0x1234)
        #expect(json["class"] == 0x038000)
        #expect(json["className"] == "Display controller")
        #expect(json["server"]?["capabilities"]?["max_msg_fds"] == 64)
        #expect(json["migration"] == ["flags": ["stop-copy"], "state": "running", "dirtyLog": true])
        let memory = try #require(json["regions"]?.array?.first { $0["name"] == "bar0" })
        #expect(memory["size"] == 4_194_304)
        #expect(memory["flags"] == ["read", "write", "mmap"])
        #expect(memory["bar"]?["prefetchable"] == true)
        #expect(json["configuration"]?.string?.hasPrefix("34121111") == true)
        #expect(json["problems"] == [])
    }

    @Test func everythingDescribedIsInTheJSON() throws {
        let exerciser = try RunningDevice("exerciser", in: scratch)
        let json = try JSON(parsing: Command.run("inspect", exerciser.socket, "--json").output)
        #expect(
            json.object?.names.sorted() == [
                "capabilities", "class", "className", "configuration", "device", "flags", "headerType",
                "interruptCount", "interruptLine", "interruptPin", "interrupts", "migration", "problems",
                "regionCount", "regions", "registers", "revision", "server", "subsystem", "subsystemVendor", "vendor",
            ])
        let region = try #require(json["regions"]?[0])
        #expect(
            region.object?.names == ["index", "name", "size", "offset", "flags", "mmap", "type", "bar", "doorbells"])
        #expect(region["doorbells"] == [["offset": 128, "size": 4, "flags": 0, "match": .null]])
        #expect(
            json["interrupts"]?[0] == [
                "index": 0, "name": "intx", "count": 1,
                "flags": ["eventfd", "maskable", "automasked"],
            ])
        let msi = try #require(json["capabilities"]?.array?.first { $0["id"] == 5 })
        #expect(msi.object?.names == ["offset", "id", "version", "name", "registers", "bytes"])
        #expect(
            msi["registers"]?[0] == [
                "name": "Control", "offset": 0x4a, "value": 0x186,
                "fields": ["Enable": false, "Count": 8, "Allocated": 1, "Maskable": true, "64bit": true],
            ])
    }

    @Test func allBytesAreShownOnRequest() throws {
        let display = try RunningDevice("bochs-display", in: scratch)
        let short = try Command.run("inspect", display.socket, "-x").output.split(separator: "\n")
        #expect(short.filter { !$0.hasPrefix("\t") }.count == 1 + 16)
        #expect(short.contains { $0.hasPrefix("00: 34 12 11 11 ") })
        let exerciser = try RunningDevice("exerciser", in: scratch, socket: "exerciser")
        let long = try Command.run("inspect", exerciser.socket, "--hex").output.split(separator: "\n")
        #expect(long.filter { !$0.hasPrefix("\t") }.count == 1 + 256)
        #expect(long.last.map(String.init) == "ff0:" + String(repeating: " 00", count: 16))
        #expect(try !Command.run("inspect", display.socket).output.contains("\n00: "))
    }

    // MARK: No device to inspect

    @Test func aDeviceInUseIsSaidSo() throws {
        let display = try RunningDevice("bochs-display", in: scratch)
        let client = try Client(path: display.socket)
        let outcome = try Command.run("inspect", display.socket)
        #expect(outcome.status == 69)
        #expect(outcome.output.isEmpty)
        #expect(
            outcome.errors == """
                mediated: The device at '\(display.socket)' is in use by another client, such as a virtual machine: \
                stop that first, or ask the device process with 'mediated info' and 'mediated statistics'.

                """)
        #expect(try Command.run("info", display.socket).output.contains("connected"))
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
        let outcome = try Command.run("inspect", scratch.path("socket"), "--timeout", "1")
        #expect([69, 76].contains(outcome.status))
        #expect(outcome.errors.hasPrefix("mediated: "))
        impostor.end()
    }

    @Test(arguments: ["0", "3601", "-1", "soon"])
    func aTimeoutOutOfRangeIsRefused(_ timeout: String) throws {
        let outcome = try Command.run("inspect", scratch.path("socket"), "--timeout=\(timeout)")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("timeout"))
    }
}
