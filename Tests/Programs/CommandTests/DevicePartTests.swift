import FakeGuest
import Foundation
import Linux
import Programs
import Recording
import Tap
import Testing
import VFIOUserClient

/// `mediated replay --as-device`, with a client in the place of a driver.
@Suite struct DevicePartTests {
    private let scratch: Scratch
    private let path: String
    private var socket: String { scratch.path("played") }

    /// Records what a client does with a device.
    init() throws {
        scratch = try Scratch()
        path = scratch.path("recording.pcapng")
        let device = try RunningDevice("exerciser", in: scratch)
        let recorder = try Watching(["record", device.socket, path], until: "is recorded in")
        let seen = try exercise(device.socket)
        #expect(seen[2] == Array("what the guest has".utf8))
        recorder.interrupt()
        let outcome = try recorder.end()
        try #require(outcome.status == 0, "\(outcome.errors)")
    }

    /// Uses registers, configuration space, an interrupt and DMA in both directions.
    ///
    /// - Returns: what it has seen.
    private func exercise(
        _ socket: String, scratch: UInt32 = 0x5eed, memory: String = "what the guest has", reads: Int = 1
    ) throws -> [[UInt8]] {
        let client = try Client(path: socket)
        let ram = try GuestRAM(at: 0x10_0000, size: 1 << 16)
        let bell = try EventFD()
        try client.map(address: ram.address, size: 1 << 16, file: ram.file.descriptor)
        try client.setEventFDs([bell], kind: .msix)
        try client.write(UInt16(0x0406), region: 7, offset: 4)
        try client.write(scratch, region: 0, offset: 4)
        var seen = try [client.read(region: 0, offset: 4, count: 4), client.read(region: 7, offset: 0, count: 64)]
        ram.store(Array(memory.utf8), at: 0)
        try client.write(ram.address, region: 0, offset: 0x20)
        try client.write(ram.address + 0x100, region: 0, offset: 0x28)
        try client.write(UInt32(memory.utf8.count), region: 0, offset: 0x30)
        for command in [1, 2] as [UInt32] { try client.write(command, region: 0, offset: 0x38) }
        seen.append(ram.bytes(at: 0x100, count: memory.utf8.count))
        try client.write(UInt32(0), region: 0, offset: 0x10)
        #expect(bell.wait(within: .seconds(30)) == 1)
        for _ in 0..<reads { seen.append(try client.read(region: 0, offset: 0x68, count: 8)) }
        return seen
    }

    private func play() throws -> Watching {
        try Watching(["replay", path, "--as-device", socket], until: "can have the device's part")
    }

    @Test func aClientThatDoesTheSameGetsTheSame() throws {
        let part = try play()
        let seen = try exercise(socket)
        #expect(seen[0] == [0xed, 0x5e, 0, 0])
        #expect(seen[1].prefix(4) == [0x34, 0x12, 0xe9, 0x11])
        #expect(seen[2] == Array("what the guest has".utf8))
        let outcome = try part.end()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains(#/^\d+ events were played: all that was recorded.\n$/#), "\(outcome.output)")
    }

    @Test func whoWritesSomethingElseIsToldAndDisconnected() throws {
        let part = try play()
        #expect(throws: (any Error).self) { try exercise(socket, scratch: 0x5eee) }
        let outcome = try part.end()
        #expect(outcome.status == 65)
        #expect(
            outcome.output.contains(
                #/was recorded, and another came:\n  recorded  .* write +bar0\+0x4 scratch +0x00005eed.*\n  came .*0x00005eee/#
            ), "\(outcome.output)")
        #expect(outcome.output.contains("Before it:\n"))
        #expect(outcome.errors.hasSuffix("mediated: The client did something else than the recorded one.\n"))
    }

    @Test func whoseMemoryHasSomethingElseIsTold() throws {
        let part = try play()
        #expect(throws: (any Error).self) { try exercise(socket, memory: "what another has  ") }
        let outcome = try part.end()
        #expect(outcome.status == 65)
        #expect(outcome.output.contains("They differ from byte 5 on."), "\(outcome.output)")
    }

    @Test func whoAsksForLessIsTold() throws {
        let part = try play()
        _ = try exercise(socket, reads: 0)
        let outcome = try part.end()
        #expect(outcome.status == 65)
        #expect(
            outcome.output.contains(#/Event \d+ was not come to:\n  recorded  .* read +bar0\+0x68/#),
            "\(outcome.output)")
        #expect(outcome.errors.hasSuffix("The recording's end was not reached.\n"))
    }

    @Test func whoAsksForMoreIsTold() throws {
        let part = try play()
        _ = try? exercise(socket, reads: 2)
        let outcome = try part.end()
        #expect(outcome.status == 65)
        #expect(
            outcome.output.contains(#/All that was recorded is played, .*\n  came .* read +bar0\+0x68/#),
            "\(outcome.output)")
    }

    /// A file can be as long as a stranger wants. A pipe has no end at all.
    @Test(arguments: [SIGINT, SIGTERM]) func aTurnOfTheDevicesWithoutEndIsInterrupted(_ signal: Int32) throws {
        let endless = scratch.path("endless")
        try NamedPipe.make(endless, mode: 0o600)
        let isLong = try EventFD()
        let recording = try Linux.Thread(name: "recording") { [path] in
            writeEndlessly(what: path, to: endless) { isLong.signal() }
        }
        defer { recording.join() }
        let part = try Watching(["replay", endless, "--as-device", socket], until: "can have the device's part")
        let client = try Linux.Thread(name: "client") { [socket] in
            _ = try? Client(path: socket).read(region: 0, offset: 4, count: 4)
        }
        defer { client.join() }
        // More than the pipe and all that is looked ahead at holds: the device's turn has begun.
        #expect(isLong.wait(within: .seconds(60)) > 0)
        part.send(signal)
        guard try part.endsUnread() else {
            part.kill()
            Issue.record("It goes on.")
            return
        }
        let outcome = try part.end()
        #expect(outcome.status == 65)
        #expect(outcome.errors.hasSuffix("It was interrupted, and the recording's end was not reached.\n"))
    }

    @Test func whatIsDamagedIsNoFaultOfTheClients() throws {
        var bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
        // The last block tells its length at its end, too.
        bytes[bytes.count - 1] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let part = try play()
        _ = try? exercise(socket)
        let outcome = try part.end()
        #expect(outcome.status == 76)
        #expect(outcome.errors.contains("can't be read"), "\(outcome.errors)")
    }

    @Test func wrongWaysAreAnswered() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let taken = try Command.run("replay", path, "--as-device", device.socket)
        #expect(taken.status == 73 && taken.errors.contains("Another process serves"), "\(taken.errors)")
        for wrong in [["--until", "3"], ["--save", scratch.path("state")]] {
            let outcome = try Command.run(["replay", path, "--as-device", socket] + wrong)
            #expect(outcome.status == 64 && outcome.errors.contains("leave --until and --save out"))
        }
        // One that begins when a client has mapped memory is of no use here.
        let client = try Client(path: device.socket)
        let ram = try GuestRAM(at: 0x10_0000, size: 1 << 16)
        try client.map(address: ram.address, size: 1 << 16, file: ram.file.descriptor)
        let late = scratch.path("late.pcapng")
        let recorder = try Watching(["record", device.socket, late], until: "is recorded in")
        recorder.interrupt()
        #expect(try recorder.end().status == 0)
        let outcome = try Command.run("replay", late, "--as-device", socket)
        #expect(outcome.status == 76 && outcome.errors.contains("begins before its client comes"), "\(outcome.errors)")
    }
}

/// Writes what a recording has before the first thing that a client did, and interrupts from then on, until nobody reads.
///
/// - Parameter isLong: called once, when much is written.
private func writeEndlessly(what path: String, to pipe: String, isLong: () -> Void) {
    // Blocks it in this thread: whoever has the other end may leave.
    guard let noSignal = try? SignalFD([SIGPIPE]) else { return }
    defer { withExtendedLifetime(noSignal) {} }
    do {
        let reader = try RecordingReader(path: path)
        let end = open(pipe, O_WRONLY | O_CLOEXEC)
        guard end >= 0 else { return }
        let writer = try RecordingWriter(to: Descriptor(owning: end))
        let clients: [Record.Kind] = [.begin, .init(.read), .init(.write), .init(.doorbell), .init(.reset)]
        var interrupt = Record(.message(vector: 0), RawSpan())
        while let record = try reader.next(), !clients.contains(record.kind) {
            try writer.append(record)
            interrupt.number = record.number
        }
        while true {
            interrupt.number += 1
            try writer.append(interrupt)
            if interrupt.number == 200_000 { isLong() }
        }
    } catch {}
}
