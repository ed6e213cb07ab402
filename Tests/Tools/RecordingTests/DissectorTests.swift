import Device
import DeviceCatalog
import Foundation
import Programs
import Recording
import Tap
import Testing

/// Recordings as Wireshark shows them: tshark, with the dissector that is shipped.
@Suite(.enabled(if: Tshark.isThere, "tshark isn't installed"))
struct DissectorTests {
    @Test func eachFieldOfAnAccessCanBeFilteredBy() throws {
        let file = try Recorded([record(.write), record(.read, 1), record(.memoryWrite, 2)])
        let rows = try Tshark.fields(
            file.path,
            ["kind", "number", "way", "region", "offset", "count", "value", "latency", "name", "data"])
        #expect(
            rows[0] == [
                "2", "0", "2", "2", "0x0000000000000010", "3", "0x0000000000030201", "1500", "naïve", "010203",
            ])
        for (filter, numbers) in [
            ("vfio_user.kind == 1", ["1"]), ("vfio_user.kind == \"dma-write\"", ["2"]),
            ("vfio_user.region == 2 && vfio_user.offset == 0x10", ["0", "1"]),
            ("vfio_user.address == 0x10", ["2"]), ("vfio_user.latency > 1000", ["0", "1", "2"]),
            ("vfio_user.value == 0x030201 && vfio_user.way == \"ring\"", []),
            ("vfio_user.data contains 02:03", ["0", "1", "2"]),
        ] {
            #expect(try Tshark.fields(file.path, ["number"], filter: filter) == numbers.map { [$0] }, "\(filter)")
        }
    }

    @Test func accessesHaveTheNamesOfTheirRegisters() throws {
        let registers = try #require(DeviceCatalog.types.first { $0.name == "bochs-display" }).registers
        let register = try #require(registers.first { $0.isReadable })
        var access = record(.read)
        (access.region, access.offset) = (UInt8(register.bar), register.offset)
        var command = record(.write)
        (command.region, command.offset) = (7, 4)
        var nowhere = record(.write)
        (nowhere.region, nowhere.offset) = (3, 1 << 40)
        let file = try Recorded([.names(of: registers), access, command, nowhere])
        #expect(
            try Tshark.fields(file.path, ["register"]) == [[""], [register.name], ["Command"], [""]])
        #expect(
            try Tshark.fields(file.path, ["number"], filter: "vfio_user.register == \"Command\"").count == 1)
        #expect(try Tshark.lines(file.path)[2].hasSuffix("write  config+0x4 Command  0x030201  message"))
    }

    @Test func eachKindHasItsName() throws {
        let kinds = Event.Kind.allCases
        let file = try Recorded(kinds.map { record($0) })
        for (kind, line) in zip(kinds, try Tshark.lines(file.path)) {
            #expect(!line.contains("kind \(kind.rawValue)"), "The dissector doesn't know \(kind): \(line)")
        }
        #expect(try Tshark.malformed(file.path).isEmpty)
    }

    @Test func anAlteredPassageNamesItsRule() throws {
        var altered = record(.altered)
        (altered.offset, altered.way, altered.name) = (12, nil, "")
        let file = try Recorded([altered])
        #expect(try Tshark.lines(file.path)[0].hasSuffix("altered  rule 12  3 bytes"))
        #expect(try Tshark.fields(file.path, ["kind"], filter: "vfio_user.rule == 12") == [["40"]])
    }

    @Test func memoryOfZerosTellsHowManyThereAre() throws {
        var memory = Record(.memory)
        (memory.region, memory.offset, memory.count) = (1, 0x1000, 4096)
        var written = memory
        (written.count, written.bytes) = (2, [1, 2])
        let file = try Recorded([memory, written])
        let lines = try Tshark.lines(file.path)
        #expect(lines[0].hasSuffix("memory  bar1+0x1000  4096 bytes, all 0"), "\(lines[0])")
        #expect(lines[1].hasSuffix("memory  bar1+0x1000  2 bytes"), "\(lines[1])")
    }

    @Test func textOfAGuestReachesNoTerminal() throws {
        var hostile = record(.received)
        hostile.name = "\u{1b}]0;owned\u{7}\u{9b}"
        let file = try Recorded([hostile])
        let output = try Tshark.run(["-r", file.path, "-V"]) + Tshark.lines(file.path).joined()
        #expect(!output.unicodeScalars.contains { $0.value == 0x1b || $0.value == 7 || $0.value == 0x9b })
    }

    // MARK: Messages of vfio-user

    @Test func eachMessageIsTakenApart() throws {
        let samples = WireSample.all
        let file = try Recorded(samples.map(\.record))
        let names = Array(Set(samples.flatMap { $0.fields.map(\.name) })).sorted()
        let rows = try Tshark.fields(file.path, ["command"] + names)
        #expect(rows.count == samples.count)
        for (sample, row) in zip(samples, rows) {
            #expect(row.first == "\(sample.command)")
            for (name, value) in sample.fields {
                let found = names.firstIndex(of: name).map { row[$0 + 1] }
                #expect(found == value, "\(name) of \(sample)")
            }
        }
        #expect(try Tshark.malformed(file.path).isEmpty)
    }

    @Test func aMessageThatIsTooShortIsMarked() throws {
        let samples = WireSample.all.filter { !$0.payload.isEmpty }.map { sample in
            var short = sample
            short.payload = Array(sample.payload.prefix(3))
            return short
        }
        let file = try Recorded(samples.map(\.record))
        #expect(try Tshark.malformed(file.path).count == samples.count)
    }

    @Test func aReplyIsFoundByItsCommand() throws {
        let read = WireSample.all.filter { $0.command == 9 }
        let file = try Recorded(read.map(\.record))
        #expect(try Tshark.fields(file.path, ["request_in"]) == [[""], ["1"]])
    }

    @Test func anyBytesAreTakenForAMessage() throws {
        var generator = SystemRandomNumberGenerator()
        let records = (0..<500).map { number in
            var sample = WireSample(command: UInt16(number % 20), from: number & 1 == 0 ? .client : .server)
            sample.payload = (0..<Int.random(in: 0..<120, using: &generator)).map { _ in
                UInt8.random(in: 0...9, using: &generator)
            }
            sample.isReply = number & 2 == 0
            return sample.record
        }
        let file = try Recorded(records)
        #expect(try Tshark.lines(file.path).count == records.count)
        #expect(try Tshark.fields(file.path, ["number"], filter: "_ws.lua.error").isEmpty)
    }
}
