import FakeGuest
import Foundation
import Glibc
import Linux
import Programs
import Recording
import Synchronization
import Tap
import Testing
import VFIOUserClient

/// `mediated observe`
@Suite struct ObserveCommandTests {
    let scratch: Scratch
    var file: String { scratch.path("recording.pcapng") }
    var seen: String { scratch.path("seen") }

    init() throws {
        scratch = try Scratch()
    }

    private func observe(_ device: RunningDevice, _ arguments: String...) throws -> Watching {
        try Watching(["observe", "--listen", seen, "--connect", device.socket] + arguments, until: "can connect to")
    }

    private final class Flag: Sendable {
        private let value = Atomic<Bool>(false)
        var isSet: Bool { value.load(ordering: .acquiring) }
        func set() { value.store(true, ordering: .releasing) }
    }

    private func messages(_ path: String? = nil) throws -> [Record] {
        let reader = try RecordingReader(path: path ?? file)
        var records: [Record] = []
        while let record = try reader.next() { records.append(record) }
        return records
    }

    @Test(.enabled(if: Tshark.isThere, "tshark isn't installed"))
    func everyMessageIsRecordedAndTsharkDecodesIt() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let observer = try observe(device, "--record", file, "--trap")
        do {
            let client = try Client(path: seen)
            for number in 0..<50 { try client.write(UInt32(number), region: 0, offset: 4) }
            #expect(try client.read(region: 0, offset: 4, count: 4) == [49, 0, 0, 0])
        }
        observer.interrupt()
        let outcome = try observer.end()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
        let recorded = try messages()
        #expect(outcome.errors.contains("\(recorded.count) of \(recorded.count) messages are recorded"))
        #expect(try Tshark.malformed(file).isEmpty)
        let writes = "vfio_user.command == \"REGION_WRITE\" && vfio_user.type == \"command\" && vfio_user.region == 0"
        #expect(try Tshark.fields(file, ["offset"], filter: writes).count == 50)
        let read = try Tshark.fields(
            file, ["data", "request_in"],
            filter: "vfio_user.command == \"REGION_READ\" && vfio_user.type == \"reply\" && vfio_user.region == 0")
        #expect(read.last?.first == "31000000" && read.last?.last?.isEmpty == false)
        #expect(try Tshark.fields(file, ["number"], filter: "vfio_user.region.flags.mmap == 1").isEmpty)
    }

    @Test func withoutAFileMessagesAreShown() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let observer = try observe(device)
        do { _ = try Client(path: seen).read(region: 7, offset: 0, count: 4) }
        observer.interrupt()
        let outcome = try observer.end()
        #expect(outcome.status == 0)
        #expect(outcome.output.contains(#/\d  client  VERSION +0\.0 /#), "\(outcome.output)")
        #expect(outcome.output.contains(#/\d  server  VERSION reply +0\.0 .* with memfd,eventfd,eventfd/#))
        #expect(outcome.errors.contains("access ring"), "\(outcome.errors)")
    }

    @Test func aKilledObserverLeavesAFileAndItsClientHearsOfIt() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let observer = try observe(device, "--record", file, "--trap")
        let client = try Client(path: seen)
        for _ in 0..<5000 { try client.write(UInt32(7), region: 0, offset: 4) }
        observer.kill()
        _ = try observer.end()
        #expect(throws: ClientError.self) { try client.read(region: 0, offset: 4, count: 4) }
        #expect(try messages().count > 1000)
        // The device goes on.
        #expect(try Client(path: device.socket).read(region: 0, offset: 4, count: 4) == [7, 0, 0, 0])
    }

    @Test func theDeathOfTheServerIsPassedOn() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let observer = try observe(device, "--record", file)
        let client = try Client(path: seen)
        device.kill()
        #expect(throws: ClientError.self) { try client.read(region: 7, offset: 0, count: 4) }
        let late = #expect(throws: ClientError.self) { try Client(path: seen) }
        #expect(late != nil)
        observer.interrupt()
        let outcome = try observer.end()
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("can't be connected to the server"), "\(outcome.errors)")
    }

    @Test(.enabled(if: geteuid() == 0, "Only root can make a small file system."))
    func aFullDiskEndsTheRecordingAlone() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let disk = scratch.path("disk")
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
        try #require(mount("tmpfs", disk, "tmpfs", 0, "size=128k") == 0)
        defer { umount2(disk, Int32(MNT_DETACH)) }
        let observer = try observe(device, "--record", "\(disk)/recording", "--trap")
        do {
            let client = try Client(path: seen)
            for _ in 0..<3000 { try client.write(UInt32(7), region: 0, offset: 4) }
            #expect(try client.read(region: 0, offset: 4, count: 4) == [7, 0, 0, 0])
        }
        observer.interrupt()
        let outcome = try observer.end()
        #expect(outcome.status == 74, "\(outcome.errors)")
        #expect(outcome.errors.contains("The recording has ended: No space left"), "\(outcome.errors)")
        #expect(try messages("\(disk)/recording").count > 100)
    }

    /// Neither a client that keeps the observer's descriptors with messages that never end, nor many of them, harm
    /// others.
    @Test func whoTakesAllDescriptorsHarmsNobodyElse() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let observer = try Watching(
            ["observe", "--listen", seen, "--connect", device.socket], descriptors: 256, until: "can connect to")
        let client = try Client(path: seen)
        let eventFD = try EventFD()
        let head: [UInt8] = [1, 0, 8, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        var others: [RawClient] = []
        for _ in 0..<12 {
            let other = try RawClient(path: seen)
            // It may be ended already.
            try? other.send(head, descriptors: [Int32](repeating: eventFD.descriptor.raw, count: 60))
            others.append(other)
        }
        // Until somebody's turn has come to be ended.
        let isOver = Flag()
        // SAFETY: nobody else uses it until the thread has ended.
        nonisolated(unsafe) let errors = observer
        let listener = try Linux.Thread(name: "listener") {
            try? errors.wait(for: "others need the descriptors")
            isOver.set()
        }
        var number: UInt32 = 0
        while !isOver.isSet {
            number += 1
            try client.write(number, region: 0, offset: 4)
            try #require(try client.read(region: 0, offset: 4, count: 4) == wire(number))
        }
        listener.join()
        others = []
        observer.interrupt()
        let outcome = try observer.end()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("others need the descriptors"), "\(outcome.errors)")
    }

    @Test func whoTakesNoLinesStopsNobody() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let observer = try observe(device, "--trap")
        let client = try Client(path: seen)
        // More than a pipe and what may wait together hold.
        for number in 0..<15_000 { try client.write(UInt32(number), region: 0, offset: 4) }
        observer.interrupt()
        #expect(try observer.endsUnread())
        #expect(try observer.end().status == 0)
    }

    @Test func linesThatFoundNoRoomAreCounted() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let observer = try observe(device, "--trap")
        do {
            let client = try Client(path: seen)
            for number in 0..<15_000 { try client.write(UInt32(number), region: 0, offset: 4) }
        }
        observer.interrupt()
        let outcome = try observer.end()
        let dropped = try #require(outcome.output.firstMatch(of: #/… (\d+) lines were dropped/#))
        let count = try #require(Int(dropped.1))
        #expect(outcome.output.split(separator: "\n").count - 1 + count > 30_000)
    }

    @Test func wrongWaysAreRefused() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let same = try Command.run("observe", "--listen", device.socket, "--connect", device.socket)
        #expect(same.status == 64 && same.errors.contains("name the same socket"), "\(same.errors)")
        let taken = try Command.run("observe", "--listen", "\(device.socket).control", "--connect", device.socket)
        #expect(taken.status == 73 && taken.errors.contains("Another process serves"), "\(taken.errors)")
        let lonely = try Command.run("observe", "--listen", seen, "--connect", device.socket, "--replace")
        #expect(lonely.status == 64 && lonely.errors.contains("--replace goes with --record"), "\(lonely.errors)")
        let there = try Command.run(
            "observe", "--listen", seen, "--connect", device.socket, "--record", scratch.write("mine", to: "mine"))
        #expect(there.status == 73 && there.errors.contains("is there already"), "\(there.errors)")
        let folder = try Command.run("observe", "--listen", scratch.path("no/where"), "--connect", device.socket)
        #expect(folder.status == 73 && folder.errors.contains("does not exist"), "\(folder.errors)")
        #expect(try Command.run("observe", "--listen", seen).status == 64)
    }
}
