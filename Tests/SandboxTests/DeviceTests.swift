import Control
import Device
import DeviceCatalog
import FakeGuest
import Foundation
import LingeringSocket
import Linux
import PCI
import Synchronization
import Testing
import VFIO
import VFIOUserClient

/// Whole sessions with confined device processes.
@Suite struct DeviceTests {
    private static let types = DeviceCatalog.types.map(\.name)

    // MARK: What the kernel says of it

    @Test(arguments: types)
    func everyThreadIsConfined(type: String) throws {
        let device = try SandboxedDevice(type)
        #expect(device.log.contains("Confined by a system call filter"))
        #expect(try device.child.status("Threads") == ["5"])
        for thread in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(device.child.pid)/task") {
            #expect(try device.child.status("Seccomp", ofThread: thread) == ["2"])
            #expect(try device.child.status("NoNewPrivs", ofThread: thread) == ["1"])
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                #expect(try device.child.status(set, ofThread: thread) == ["0000000000000000"])
            }
        }
        #expect(try device.stop() == .exit(0))
    }

    @Test(.enabled(if: isRoot, "Only root can start it as somebody else."), arguments: types)
    func itIsTheUserThatItWasGiven(type: String) throws {
        let device = try SandboxedDevice(type)
        let user = [String](repeating: "\(SandboxedDevice.user)", count: 4)
        let group = [String](repeating: "\(SandboxedDevice.group)", count: 4)
        #expect(try device.child.status("Uid") == user)
        #expect(try device.child.status("Gid") == group)
        #expect(try device.child.status("Groups") == [])
    }

    @Test func itHasTheLimitsThatItSays() throws {
        let device = try SandboxedDevice("serial", ["--memory", "100000000"])
        let text = try String(contentsOfFile: "/proc/\(device.child.pid)/limits", encoding: .utf8)
        let limits = text.split(separator: "\n").map { $0.split(separator: " ", omittingEmptySubsequences: true) }
        for (words, value) in [
            ("Max data size", "100000000"), ("Max file size", "1073741824"),
            ("Max open files", "\(try descriptorsOfDevice())"),
            ("Max processes", "0"), ("Max core file size", "0"), ("Max locked memory", "0"),
            ("Max msgqueue size", "0"),
        ] {
            let name = words.split(separator: " ")
            let line = try #require(limits.first { $0.starts(with: name) })
            #expect(line.dropFirst(name.count).prefix(2).map(String.init) == [value, value], "\(words)")
        }
    }

    // MARK: Its end

    @Test(arguments: types)
    func aSignalEndsItInOrder(type: String) throws {
        let device = try SandboxedDevice(type)
        let client = try device.client()
        device.child.terminate()
        #expect(device.child.wait() == .exit(0))
        #expect(throws: ClientError.self) { try client.reset() }
    }

    @Test func socketsThatItWasGivenStayWhenItEnds() throws {
        let device = try SandboxedDevice("serial")
        #expect(try device.stop() == .exit(0))
        #expect(FileManager.default.fileExists(atPath: device.socket))
        #expect(FileManager.default.fileExists(atPath: ControlClient.path(besides: device.socket)))
    }

    // MARK: A client

    @Test(arguments: types, [true, false])
    func clientsComeAndGo(type: String, byRing: Bool) throws {
        let device = try SandboxedDevice(type)
        for _ in 0..<3 {
            let socket = try UnixSocket(connectingTo: device.socket)
            // A process that a test beside this one starts may hold a copy of the connection for a moment. This ends it
            // for all.
            let connection = UnixSocket(owning: try socket.descriptor.duplicate())
            defer { connection.shutDown() }
            var configuration = Client.Configuration()
            if !byRing { configuration.capabilities.accessRing = nil }
            let client = try Client(socket, configuration: configuration)
            #expect((client.server.accessRing != nil) == byRing)
            // The interrupt line, which every function keeps for the guest.
            try client.write(UInt8(0x5a), region: 7, offset: 0x3c)
            #expect(try client.read(UInt8.self, region: 7, offset: 0x3c) == 0x5a)
            try client.reset()
            #expect(try client.read(UInt8.self, region: 7, offset: 0x3c) == 0)
        }
        let info = try device.control.info()
        #expect(info.type == type)
        #expect(info.process == device.child.pid)
        #expect(try device.control.statistics()["sessions"]?.int == 3)
        #expect(try device.stop() == .exit(0))
    }

    @Test(arguments: types)
    func aSecondClientIsRefused(type: String) throws {
        let device = try SandboxedDevice(type)
        let client = try device.client()
        #expect(throws: ClientError.self) { try device.client() }
        try client.reset()
        #expect(try device.stop() == .exit(0))
    }

    @Test(arguments: ["[0]", "{\"\":0}", "[[[[[[0]]]]]]", "\"\"", "\"aaaaaaaaaaaaaaaa\"", "0"])
    func aStateThatTakesMuchMemoryIsRefused(piece: String) throws {
        let device = try SandboxedDevice("exerciser")
        let client = try device.client()
        for size in [4 << 20, 8 << 20] {
            let count = (size - 2) / (piece.utf8.count + 1)
            let document = "[" + Array(repeating: piece, count: count).joined(separator: ",") + "]"
            let state =
                Array("MEDIATED".utf8) + wire(UInt32(1), UInt32(document.utf8.count)) + Array(document.utf8)
            try client.setMigrationState(.stop)
            try client.setMigrationState(.resuming)
            #expect(throws: ClientError.refused(.migrationDataWrite, .invalidArgument)) {
                for start in stride(from: 0, to: state.count, by: 1 << 19) {
                    try client.writeMigrationData(Array(state[start...].prefix(1 << 19)).span.bytes)
                }
            }
            try client.reset()
        }
        #expect(try client.read(UInt16.self, region: 7, offset: 0) == 0x1234)
        #expect(try device.stop() == .exit(0))
    }

    /// The threads that close are there before the process can start none.
    @Test func whatHangsWhenItIsClosedKeepsNobodyWaiting() throws {
        let device = try SandboxedDevice("exerciser")
        let client = try RawClient(path: device.socket, patience: .seconds(60))
        try client.negotiate()
        let socket = try LingeringSocket()
        for _ in 0..<3 {
            try client.send(.deviceGetInfo, descriptors: [socket.raw])
            #expect(try client.receive()?.errno == .invalidArgument)
        }
        try client.send(.deviceGetInfo, descriptors: [socket.raw])
        socket.handOverAside()
        #expect(try client.receive()?.errno == .invalidArgument)
        #expect(try client.call(.deviceReset).errno == nil)
        #expect(try device.control.info().clientConnected)
        #expect(try device.stop() == .exit(0))
        withExtendedLifetime(socket) {}
    }

    @Test(.enabled(if: isRoot, "Only root can connect as somebody else."))
    func itKnowsWhoItsClientsAre() throws {
        let device = try SandboxedDevice(
            "exerciser", ["--allow-user", "54323", "--allow-group", "54324"])
        chmod(device.socket, 0o666)
        func answer(_ user: UInt32, _ groups: [UInt32] = []) throws -> Errno? {
            let control = try device.control
            let client = try RawClient(path: device.socket, user: user, group: 1, groups: groups)
            let errno = try client.negotiate().errno
            client.socket.shutDown()
            while try control.info().clientConnected {}
            return errno
        }
        #expect(try answer(54_325) == .permissionDenied)
        #expect(try answer(54_323) == nil)
        #expect(try answer(54_325, [54_324]) == nil)
        #expect(try answer(SandboxedDevice.user) == nil, "its own")
        #expect(try answer(0) == nil)
        #expect(try device.stop() == .exit(0))
    }

    @Test func itsQuotaChanges() throws {
        let device = try SandboxedDevice("bochs-display", options: ["vram=4M", "aperture=16M"])
        let control = try device.control
        let client = try device.client()
        try client.write(UInt32(1), region: 0, offset: 3 << 20)
        #expect(try control.statistics()["videoMemoryUsed"] == 4096)
        let less = Quota(videoMemory: 2 << 20, frameRate: 1)
        #expect(try control.modify(less) == less)
        #expect(try control.statistics()["videoMemoryUsed"] == 0)
        #expect(try device.stop() == .exit(0))
    }

    @Test func aMappedBARIsWhatMessagesReadAndWrite() throws {
        let device = try SandboxedDevice("bochs-display", options: ["vram=4M"])
        let client = try device.client()
        let mapping = try client.region(0).map()
        mapping.base.storeBytes(of: 0x1234_5678, toByteOffset: 4096, as: UInt32.self)
        #expect(try client.read(UInt32.self, region: 0, offset: 4096) == 0x1234_5678)
        try client.write(UInt32(0x9abc_def0), region: 0, offset: 4100)
        #expect(mapping.base.load(fromByteOffset: 4100, as: UInt32.self) == 0x9abc_def0)
        #expect(try device.stop() == .exit(0))
    }

    // MARK: Guest memory, interrupts and doorbells

    /// Has the exerciser write to guest memory; register 0x3c tells how that ended.
    private func fill(_ client: Client, _ address: UInt64, _ count: UInt32, with pattern: UInt8) throws -> UInt32 {
        try client.write(pattern, region: 0, offset: 0x34)
        try client.write(address, region: 0, offset: 0x28)
        try client.write(count, region: 0, offset: 0x30)
        try client.write(UInt32(4), region: 0, offset: 0x38)
        return try client.read(UInt32.self, region: 0, offset: 0x3c)
    }

    @Test func guestMemoryThatCameAsAFileIsReached() throws {
        let device = try SandboxedDevice("exerciser")
        let client = try device.client()
        let memory = try GuestRAM(at: 0x10_0000, size: 64 << 20)
        try client.startDirtyLog(pageSize: 4096)
        try client.map(address: memory.address, size: 64 << 20, file: memory.file.descriptor)
        #expect(try fill(client, 0x10_0000 + 5000, 100, with: 0xa5) == 0)
        #expect(memory.bytes(at: 4999, count: 102) == [0] + [UInt8](repeating: 0xa5, count: 100) + [0])
        try client.unmap(address: memory.address, size: 64 << 20)
        #expect(try fill(client, 0x10_0000, 1, with: 0) == 3, "nothing is mapped there any more")
        #expect(try device.stop() == .exit(0))
    }

    @Test(arguments: [false, true])
    func guestMemoryIsReachedByMessages(overTwinSocket: Bool) throws {
        let device = try SandboxedDevice("exerciser")
        let client = try device.client { if overTwinSocket { $0.capabilities.twinSocket = .supported } }
        let memory = try GuestRAM(at: 0x10_0000, size: 1 << 20)
        client.memory = memory
        try client.map(address: memory.address, size: 1 << 20)
        #expect(try fill(client, 0x10_0000, 10_000, with: 0x5a) == 0)
        #expect(memory.bytes(at: 0, count: 10_000) == [UInt8](repeating: 0x5a, count: 10_000))
        #expect(try device.stop() == .exit(0))
    }

    @Test func guestMemoryThatIsCutOffEndsOneCommand() throws {
        let device = try SandboxedDevice("exerciser")
        let client = try device.client()
        let file = try shrinkableMemory(size: 8192)
        try client.map(address: 0, size: 8192, file: file)
        #expect(try fill(client, 0, 8192, with: 1) == 0)
        #expect(ftruncate(file.raw, 0) == 0)
        #expect(try fill(client, 0, 8192, with: 2) == 5, "unreachable")
        #expect(try fill(client, 4096, 16, with: 2) == 5, "unreachable")
        #expect(try device.stop() == .exit(0))
    }

    @Test(arguments: [InterruptKind.msi, .msix])
    func interruptsArriveAtTheirEventFDs(kind: InterruptKind) throws {
        let device = try SandboxedDevice("exerciser")
        let client = try device.client()
        let events = try (0..<8).map { _ in try EventFD() }
        try client.setEventFDs(events, kind: kind)
        for vector: UInt32 in [3, 3, 7] { try client.write(vector, region: 0, offset: 0x10) }
        #expect(events.map { $0.consume() } == [0, 0, 0, 2, 0, 0, 0, 1])
        #expect(try device.stop() == .exit(0))
    }

    @Test func whatIsNoEventFDIsRefused() throws {
        let device = try SandboxedDevice("exerciser")
        let client = try device.client()
        // A second eventfd's number, under which there is a timer when the message is sent.
        let timer = try EventFD()
        let other = try TimerFD()
        #expect(dup2(other.descriptor.raw, timer.descriptor.raw) >= 0)
        #expect(throws: ClientError.refused(.deviceSetIRQs, .invalidArgument)) {
            try client.setEventFDs([timer], kind: .msix)
        }
        #expect(try device.stop() == .exit(0))
    }

    @Test func aDoorbellInterruptsTheReceive() throws {
        let device = try SandboxedDevice("exerciser")
        let client = try device.client { $0.capabilities.accessRing = nil }
        let bell = try #require(try client.doorbells(ofRegion: 0).first)
        bell.eventFD.signal()
        // The counter of rings. Each read may come before the ring, but not forever.
        var rings: UInt64 = 0
        for _ in 0..<100_000 where rings == 0 { rings = try client.read(UInt64.self, region: 0, offset: 0x78) }
        #expect(rings == 1)
        #expect(try device.stop() == .exit(0))
    }

    // MARK: Pictures and states

    @Test func aPictureIsTaken() throws {
        let device = try SandboxedDevice("bochs-display")
        let client = try device.client()
        // 640 by 480, 32 bits, on.
        for (value, offset) in [(640, 0x502), (480, 0x504), (32, 0x506), (0x41, 0x508)] as [(UInt16, UInt64)] {
            try client.write(value, region: 2, offset: offset)
        }
        try client.write(UInt32(0x0012_3456), region: 0, offset: 0)
        let picture = try device.control.screenshot()
        #expect(picture.width == 640 && picture.height == 480)
        var row = [UInt8](repeating: 0, count: 640 * 3)
        var span = row.mutableSpan
        picture.rgbRow(0, into: &span)
        #expect(row.prefix(3) == [0x12, 0x34, 0x56])
        #expect(try device.stop() == .exit(0))
    }

    /// A byte that a type keeps when it is written: region, offset, value.
    private static func kept(_ type: String) -> (region: Int, offset: UInt64, value: UInt8) {
        switch type {
        case "serial": (0, 7, 0x5e)
        case "bochs-display": (0, 0x12_3456, 0xed)
        case "exerciser": (0, 4, 0x5d)
        // The interrupt line, which every function keeps for the guest.
        default: (7, 0x3c, 0x5a)
        }
    }

    @Test(arguments: types)
    func aSavedStateIsGoneOnFrom(type: String) throws {
        let file = try StateFile()
        let register = Self.kept(type)
        do {
            let device = try SandboxedDevice(type)
            let client = try device.client()
            try client.write(register.value, region: register.region, offset: register.offset)
            try device.control.save().copy(to: file.descriptor)
            #expect(try device.stop() == .exit(0))
        }
        try file.rewind()
        let device = try SandboxedDevice(type, state: file.descriptor.raw)
        let client = try device.client()
        #expect(try client.read(UInt8.self, region: register.region, offset: register.offset) == register.value)
        #expect(try device.stop() == .exit(0))
    }

    @Test func accessesAreAnsweredWhileALargeStateIsSaved() throws {
        let file = try StateFile()
        let size = 64 << 20
        let (first, last) = (UInt64(0), UInt64(size - 4))
        do {
            let device = try SandboxedDevice("bochs-display", options: ["vram=64M"])
            let client = try device.client()
            let mapping = try client.region(0).map()
            memset(mapping.base, 0xa5, size)
            var round: UInt32 = 0
            func write() throws {
                for offset in [first, last] { try client.write(round, region: 0, offset: offset) }
                round += 1
            }
            try write()
            let answer = Answer()
            let path = ControlClient.path(besides: device.socket)
            let asking = try Linux.Thread(name: "save") {
                let result = Result { try ControlClient(connectingTo: path, patience: .seconds(60)).save() }
                answer.state.withLock { $0 = result }
            }
            while answer.state.withLock({ $0 == nil }) { try write() }
            asking.join()
            try answer.state.withLock { try $0?.get() }?.copy(to: file.descriptor)
            #expect(try device.stop() == .exit(0))
        }
        try file.rewind()
        let device = try SandboxedDevice("bochs-display", options: ["vram=64M"], state: file.descriptor.raw)
        let client = try device.client()
        let rounds = try [first, last].map { try client.read(UInt32.self, region: 0, offset: $0) }
        // In one piece, they would be of one round, or one round apart with the first ahead.
        #expect(rounds[0] < rounds[1])
        #expect(try client.read(UInt32.self, region: 0, offset: UInt64(size / 2)) == 0xa5a5_a5a5)
        #expect(try device.stop() == .exit(0))
    }

    @Test func theLargestDisplayIsSavedAndRestored() throws {
        let file = try StateFile()
        let size = 256 << 20
        do {
            let device = try SandboxedDevice("bochs-display", options: ["vram=256M"])
            let client = try device.client()
            let mapping = try client.region(0).map()
            // Every page, so that none is left out.
            memset(mapping.base, 0xa5, size)
            try device.control.save().copy(to: file.descriptor)
            #expect(try device.stop() == .exit(0))
        }
        try file.rewind()
        let device = try SandboxedDevice("bochs-display", options: ["vram=256M"], state: file.descriptor.raw)
        let client = try device.client()
        let mapping = try client.region(0).map()
        for offset in stride(from: 0, to: size, by: 4096) {
            guard mapping.base.load(fromByteOffset: offset, as: UInt32.self) == 0xa5a5_a5a5 else {
                Issue.record("The page at \(offset) is another.")
                break
            }
        }
        #expect(try device.stop() == .exit(0))
    }

    @Test(arguments: types)
    func aStateMigrates(type: String) throws {
        let register = Self.kept(type)
        let first = try SandboxedDevice(type)
        let client = try first.client()
        try client.write(register.value, region: register.region, offset: register.offset)
        try client.setMigrationState(.stop)
        try client.setMigrationState(.stopCopy)
        var state: [UInt8] = []
        while true {
            let piece = try client.readMigrationData(count: 1 << 19)
            state += piece
            if piece.count < 1 << 19 { break }
        }
        let second = try SandboxedDevice(type)
        let other = try second.client()
        try other.setMigrationState(.resuming)
        for start in stride(from: 0, to: state.count, by: 1 << 19) {
            try other.writeMigrationData(state[start..<min(start + 1 << 19, state.count)].span.bytes)
        }
        try other.setMigrationState(.running)
        #expect(try other.read(UInt8.self, region: register.region, offset: register.offset) == register.value)
        #expect(try first.stop() == .exit(0))
        #expect(try second.stop() == .exit(0))
    }

    // MARK: The serial line

    /// Opens the port as drivers do: FIFOs on, DTR, RTS and OUT2 high.
    private func openPort(_ client: Client) throws {
        for (value, offset) in [(0x87, 2), (0x03, 3), (0x0b, 4), (0x05, 1)] as [(UInt8, UInt64)] {
            try client.write(value, region: 0, offset: offset)
        }
    }

    /// Reads a register until bits of it are as wanted, as a simple driver does.
    private func poll(_ client: Client, at offset: UInt64, for bits: UInt8, set: Bool) throws {
        var value: UInt8 = 0
        for _ in 0..<100_000 {
            value = try client.read(UInt8.self, region: 0, offset: offset)
            if (value & bits != 0) == set { return }
        }
        Issue.record("The register at \(offset) stays \(value).")
    }

    /// Sends a byte each way.
    private func exchange(_ client: Client, with peer: Int32) throws {
        try client.write(UInt8(0x41), region: 0, offset: 0)
        var entry = pollfd(fd: peer, events: Int16(POLLIN), revents: 0)
        try #require(Foundation.poll(&entry, 1, 20_000) == 1)
        var byte: UInt8 = 0
        #expect(read(peer, &byte, 1) == 1)
        #expect(byte == 0x41)
        byte = 0x42
        #expect(write(peer, &byte, 1) == 1)
        // The line status register: a byte is there.
        try poll(client, at: 5, for: 0x01, set: true)
        #expect(try client.read(UInt8.self, region: 0, offset: 0) == 0x42)
    }

    @Test func peersOfASocketLineComeAndGo() throws {
        let device = try SandboxedDevice("serial", options: ["line=unix:@line"])
        let client = try device.client()
        try openPort(client)
        for _ in 0..<3 {
            let peer = try UnixSocket(connectingTo: device.scratch.path("line"))
            // The modem status register: somebody is there.
            try poll(client, at: 6, for: 0x80, set: true)
            try exchange(client, with: peer.descriptor.raw)
            peer.shutDown()
            try poll(client, at: 6, for: 0x80, set: false)
        }
        #expect(try device.stop() == .exit(0))
    }

    @Test func peersOfATerminalLineComeAndGo() throws {
        let device = try SandboxedDevice("serial", options: ["line=pty:@terminal"])
        let client = try device.client()
        try openPort(client)
        for _ in 0..<3 {
            let raw = open(device.scratch.path("terminal"), O_RDWR | O_NOCTTY | O_CLOEXEC)
            try #require(raw >= 0, "\(Errno(rawValue: errno))")
            try poll(client, at: 6, for: 0x80, set: true)
            try exchange(client, with: raw)
            close(raw)
            try poll(client, at: 6, for: 0x80, set: false)
        }
        #expect(try device.stop() == .exit(0))
    }
}

/// What a thread has been answered.
private final class Answer: Sendable {
    let state = Mutex<Result<AttachedFile, any Error>?>(nil)
}

/// A file of a saved state, which is gone with its descriptor.
private struct StateFile: ~Copyable {
    let descriptor: Descriptor

    init() throws {
        var template = Array("/tmp/mediated-state-XXXXXX".utf8CString)
        let raw = mkstemp(&template)
        guard raw >= 0 else { throw Errno(rawValue: errno) }
        unlink(template)
        descriptor = Descriptor(owning: raw)
    }

    func rewind() throws {
        guard lseek(descriptor.raw, 0, SEEK_SET) == 0 else { throw Errno(rawValue: errno) }
    }
}
