import Device
import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient

/// What a client sees of a quota that changes.
@Suite struct QuotaTests {
    private let device: ServedDevice

    init() throws {
        device = try ServedDevice("bochs-display", options: ["vram=4M", "aperture=16M"])
    }

    private func apply(_ changes: Quota) -> Bool {
        device.onThread { function, _ in (try? function.apply(changes)) != nil }
    }

    private func used() -> Int? { device.onThread { function, _ in function.limits?.videoMemoryUsed } }

    /// Runs `body` as the only client.
    private func withClient(_ body: (Client) throws -> Void) throws {
        do {
            let client = try Client(path: device.path)
            try body(client)
            withExtendedLifetime(client) {}
        }
        while device.onThread({ _, server in server.hasClient }) {}
    }

    private func mappable(_ client: Client) throws -> [RegionInfo.Area] { try client.region(0).info.sparseAreas }

    @Test func theMappableAreaIsTheQuotaOfWhenTheClientCame() throws {
        try withClient { client in
            let info = try client.region(0).info
            #expect(info.length == 16 << 20)
            #expect(info.sparseAreas == [.init(offset: 0, size: 4 << 20)])
            #expect(apply(Quota(videoMemory: 8 << 20)))
            #expect(try mappable(client) == [.init(offset: 0, size: 4 << 20)])
        }
        try withClient { client in
            let areas = try mappable(client)
            #expect(areas == [.init(offset: 0, size: 8 << 20)])
        }
        #expect(apply(Quota(videoMemory: 16 << 20)))
        try withClient { client in
            let areas = try mappable(client)
            #expect(areas.isEmpty, "all of it needs no list")
            let mapping = try client.region(0).map()
            #expect(mapping.size == 16 << 20)
        }
    }

    @Test func accessesBeyondItFindNothing() throws {
        try withClient { client in
            let edge: UInt64 = 4 << 20
            try client.write(UInt64.max, region: 0, offset: edge - 4)
            #expect(try client.read(UInt64.self, region: 0, offset: edge - 4) == UInt64(UInt32.max))
            try client.write(UInt32(7), region: 0, offset: 15 << 20)
            #expect(try client.read(UInt32.self, region: 0, offset: 15 << 20) == 0)
            #expect(used() == 4096)
        }
    }

    @Test func aClientKeepsTheMappingOfMemoryThatIsTakenAway() throws {
        var mapping: Mapping?
        try withClient { client in
            let memory = try client.region(0).map(size: 4 << 20)
            memory.base.storeBytes(of: 0x1234_5678, toByteOffset: 3 << 20, as: UInt32.self)
            #expect(apply(Quota(videoMemory: 2 << 20)))
            #expect(memory.base.load(fromByteOffset: 3 << 20, as: UInt32.self) == 0)
            memory.base.storeBytes(of: 0x9abc_def0, toByteOffset: 3 << 20, as: UInt32.self)
            #expect(memory.base.load(fromByteOffset: 3 << 20, as: UInt32.self) == 0x9abc_def0)
            #expect(used() == 4096)
            mapping = memory
        }
        #expect(used() == 0, "what was written since went with the client")
        #expect(mapping?.base.load(fromByteOffset: 3 << 20, as: UInt32.self) == 0)
    }

    @Test func memoryBeyondItThatAClientTakesByTheFileIsNeitherSavedNorKept() throws {
        try withClient { client in
            let file = try #require(try client.region(0).file)
            let whole = try Mapping(of: file.descriptor, size: 16 << 20)
            whole.base.storeBytes(of: 0x1234_5678, toByteOffset: 15 << 20, as: UInt32.self)
            #expect(used() == 4096)
            let size = device.onThread { function, _ in (try? saved(function))?.count }
            #expect(size ?? .max < 4096, "no page is saved")
            #expect(used() == 0)
            whole.base.storeBytes(of: 0x1234_5678, toByteOffset: 15 << 20, as: UInt32.self)
        }
        #expect(used() == 0)
    }

    @Test func aStateFitsWhateverTheQuotaIs() throws {
        let small = try ServedDevice("bochs-display", options: ["vram=2M", "aperture=16M", "resolution=640x480"])
        let state = device.onThread { function, _ -> [UInt8] in
            function.memory(region: 0, offset: 0, count: 1)?.replace(at: 3 << 20, with: [9].span.bytes)
            return (try? saved(function)) ?? []
        }
        let used = small.onThread { function, _ -> Int? in
            let writer = StateWriter(function)
            guard (try? writer.write(state.span.bytes)) != nil, (try? writer.finish()) != nil else { return nil }
            return function.limits?.videoMemoryUsed
        }
        #expect(used == 0)
    }

    /// A function's whole state.
    private func saved(_ function: Function) throws -> [UInt8] {
        let reader = try StateReader(function)
        var bytes = [UInt8](repeating: 0, count: reader.size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        #expect(reader.read(into: &raw) == bytes.count)
        return bytes
    }
}
