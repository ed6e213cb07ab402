import Device
import DeviceCatalog
import FakeGuest
import Glibc
import JSON
import Programs
import Replay
import SeededRandom
import Tap
import Testing

/// A recording is a stranger's: it reaches for nothing of this machine, and takes no more memory than its device.
@Suite struct HostileTests {
    /// Whatever is in it: at worst it is refused, or the device does something else.
    @Test func aHostileRecordingDoesNoHarm() throws {
        let records = try exercised()
        var random = SplitMix(seed: 1)
        var refused = 0
        for _ in 0..<300 {
            var hostile = records
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 1..<hostile.count, using: &random)
                switch Int.random(in: 0..<8, using: &random) {
                case 0: hostile[place].kind = .init(rawValue: .random(in: 0...0x90, using: &random))
                case 1: hostile[place].offset = .random(in: 0 ... .max, using: &random)
                case 2: hostile[place].count = .random(in: 0 ... .max, using: &random)
                case 3: hostile[place].value ^= 1 << UInt64.random(in: 0..<64, using: &random)
                case 4: hostile[place].region = .random(in: 0 ... .max, using: &random)
                case 5: hostile[place].bytes = [UInt8](repeating: 1, count: .random(in: 0...70, using: &random))
                case 6: hostile.remove(at: place)
                default: hostile[place].hasMoreParts.toggle()
                }
            }
            do { _ = try replay(hostile) } catch { refused += 1 }
        }
        #expect(refused < 300)
    }

    @Test func whatIsNoRecordingIsRefused() throws {
        #expect(throws: ReplayError.self) { try replay([]) }
        #expect(throws: ReplayError.self) { try replay([Record(.end)]) }
        var description = Record(.description)
        description.bytes = Array("{\"format\":1}".utf8)
        #expect(throws: ReplayError.self) { try replay([description]) }
        let records = try exercised()
        #expect(throws: ReplayError.self) { try replay(records.filter { $0.kind != .state }) }
        var state = records
        let place = try #require(state.firstIndex { $0.kind == .state })
        state[place].count = .max
        #expect(throws: ReplayError.self) { try replay(state) }
        state[place].count = records[place].count
        state[place].bytes[20] ^= 0xff
        #expect(throws: (any Error).self) { try replay(state) }
    }

    /// Nor any other program, whatever the recording says of its device.
    @Test(arguments: [["renderer": "virgl"], ["renderer": "virgl", "render-node": "/dev/null"]])
    func noRendererIsStarted(options: [String: String]) throws {
        var records = try RecordedDevice("virtio-gpu").finish()
        try change(&records[0]) { $0.options = options }
        let refusal = #expect(throws: OptionError.self) { try replay(records) }
        #expect(refusal?.description.contains("3D") == true)
    }

    /// All options that are texts, of all devices: the others name nothing.
    @Test func nothingIsMadeAtAPath() throws {
        let texts = DeviceCatalog.types.flatMap { type in
            type.options.compactMap { if case .text = $0.kind { "\(type.name) \($0.name)" } else { nil } }
        }
        let known = ["bochs-display resolution", "serial line", "virtio-gpu resolution", "virtio-gpu render-node"]
        #expect(texts.sorted() == known.sorted(), "see whether a replay may have it from a recording")
        let records = try RecordedDevice("serial").finish()
        for kind in ["unix", "pty"] {
            let path = temporaryPath()
            var other = records
            try change(&other[0]) { $0.options = ["line": "\(kind):\(path)"] }
            var left = other[...]
            let again = try Replay { left.popFirst() }
            #expect(access(path, F_OK) == -1)
            #expect(try again.run().divergence == nil)
        }
    }

    private func change(_ record: inout Record, _ change: (inout RecordingDescription) -> Void) throws {
        var description: RecordingDescription = try JSON(parsing: record.bytes, valueLimit: 100).decode()
        change(&description)
        record.bytes = Array(try JSON(encoding: description).text.utf8)
    }

    @Test func theDeviceSaysHowLongItsStateMayBe() throws {
        var records = try RecordedDevice("serial").finish()
        let place = try #require(records.firstIndex { $0.kind == .state })
        (records[place].offset, records[place].count) = (1 << 30, 1 << 30)
        let refusal = #expect(throws: ReplayError.self) { try replay(records) }
        #expect(refusal?.description.contains("1073741824 bytes; one of this device has") == true)
        // What isn't known at all isn't read on.
        try change(&records[0]) { $0.type = "nothing" }
        #expect(throws: OptionError.self) { try replay(records) }
    }

    @Test func aReadThatBeginsComesToItsEnd() throws {
        let records = try exercised()
        let place = try #require(records.firstIndex { $0.kind == .init(.write) })
        for next in [Record(.begin), Record(.end), records[place]] {
            #expect(throws: ReplayError.self) { try replay(records[..<place] + [Record(.begin), next]) }
        }
        // Each is looked at once.
        var (count, left) = (0, records[..<place] + [Record(.begin)])
        let again = try Replay {
            if let record = left.popFirst() { return record }
            count += 1
            return count <= 200_000 ? Record(.init(.clock)) : count == 200_001 ? Record(.end) : nil
        }
        #expect(throws: ReplayError.self) { try again.run() }
        #expect(count == 200_001)
    }

    @Test func whatALostReadHasLedToIsLostWithIt() throws {
        let records = try exercised()
        let place = try #require(records.firstIndex { $0.kind == .init(.write) })
        let cut = records[..<place] + [Record(.begin), Record(.init(.clock))]
        #expect(try replay(Array(cut)).divergence == nil)
        let outcome = try replay(cut + [Record(.gap)] + exercised().dropFirst())
        #expect(outcome.divergence == nil, "\(String(describing: outcome.divergence))")
        #expect(outcome.gaps == 1 && outcome.isComplete)
    }

    @Test func aWriteWhoseResultsWereLostIsNoDifference() throws {
        let records = try messages().records
        let place = try #require(records.firstIndex { $0.kind == .init(.message) })
        let cut = Array(records[..<place])
        #expect(try replay(cut).divergence == nil)
        let outcome = try replay(cut + [Record(.gap)] + exercised().dropFirst())
        #expect(outcome.divergence == nil, "\(String(describing: outcome.divergence))")
        #expect(outcome.gaps == 1 && outcome.isComplete)
    }

    /// Those of the process that has served the device aren't compared, so they don't count.
    @Test func eventsThatTheDeviceDoesNotWaitForAreNothing() throws {
        let records = try exercised()
        let place = try #require(records.lastIndex { $0.kind == .init(.write) })
        var event = Record(.init(.event))
        (event.name, event.number) = ("signals", records[place].number)
        let more = records[..<place] + [event, event] + records[place...]
        #expect(try expectSame(Array(more)).passages == replay(records).passages)
        // A line that isn't there had nobody at its other end.
        var connection = Record(.connection)
        connection.name = "line"
        let state = try #require(records.firstIndex { $0.kind == .state })
        #expect(throws: ReplayError.self) { try replay(records[..<state] + [connection] + records[state...]) }
    }
}
