import Device
import FakeGuest
import Linux
import Testing
import VFIOUserClient

@testable import VirtioGPU

/// The device is taken down and made anew under a client that stays: `Server.remakeFunction(_:)`.
@Suite struct RemakingTests {
    @Test(arguments: ["packed=off", "packed=on"])
    func aGuestDrawsOnWithTheSameRingsAndResources(ring: String) throws {
        let options = [ring, "resolution=800x600"]
        let served = try ServedDevice("virtio-gpu", options: options)
        let ram = try GuestRAM(at: 0x10_0000, size: 1 << 20)
        let client = try Client(path: served.path)
        try client.map(address: ram.address, size: 1 << 20, file: ram.file.descriptor)
        let guest = try Guest(client, ram)
        let pixels = guest.driver.allocate(wire([1, 2, 3, 4, 5, 6, 7, 8]))
        try guest.show(pixels)
        let (before, memory) = served.identities()
        try served.remake("virtio-gpu", options: options)
        let (after, kept) = served.identities()
        #expect(after != before && kept == memory)
        // What was drawn is there, with no byte of it having moved.
        #expect(served.picture() == [1, 2, 3, 4, 5, 6, 7, 8])
        guest.driver.store(wire([9, 8, 7, 6]), at: pixels)
        #expect(try guest.update() == [Answered.done, Answered.done])
        #expect(served.picture() == [9, 8, 7, 6, 5, 6, 7, 8])
    }

    @Test func aDriverThatSetsUpLaterFindsItsMemoryInReach() throws {
        let served = try ServedDevice("virtio-gpu")
        let ram = try GuestRAM(at: 0x10_0000, size: 1 << 20)
        let client = try Client(path: served.path)
        try served.remake("virtio-gpu")
        try client.map(address: ram.address, size: 1 << 20, file: ram.file.descriptor)
        let guest = try Guest(client, ram)
        try guest.show(guest.driver.allocate(wire([1, 2, 3, 4, 5, 6, 7, 8])))
        #expect(served.picture() == [1, 2, 3, 4, 5, 6, 7, 8])
    }

    @Test func withOtherMemoryTheDeviceThatIsThereGoesOn() throws {
        let served = try ServedDevice("virtio-gpu")
        let ram = try GuestRAM(at: 0x10_0000, size: 1 << 20)
        let client = try Client(path: served.path)
        try client.map(address: ram.address, size: 1 << 20, file: ram.file.descriptor)
        let guest = try Guest(client, ram)
        let pixels = guest.driver.allocate(wire([1, 2, 3, 4, 5, 6, 7, 8]))
        try guest.show(pixels)
        // Another head's cursor would lie where this one has pictures.
        #expect(throws: DeviceMemoryError.self) { try served.remake("virtio-gpu", options: ["heads=2"]) }
        guest.driver.store(wire([5]), at: pixels)
        #expect(try guest.update() == [Answered.done, Answered.done])
        #expect(served.picture() == [5, 2, 3, 4, 5, 6, 7, 8])
        try served.remake("virtio-gpu")
        #expect(served.picture() == [5, 2, 3, 4, 5, 6, 7, 8])
    }
}

extension ServedDevice {
    /// Of the function, and of the memory that its device keeps.
    fileprivate func identities() -> (ObjectIdentifier, ObjectIdentifier) {
        onThread { function, _ in (ObjectIdentifier(function), ObjectIdentifier(function.ownMemory[0])) }
    }

    /// What the first head shows.
    fileprivate func picture() -> [UInt32]? {
        onThread { function, _ in
            guard let scanout = function.display?.heads.first?.scanout else { return nil }
            var bytes = [UInt8](repeating: 0, count: scanout.height * scanout.stride)
            let size = bytes.count
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            scanout.memory.copy(at: scanout.offset, count: size, into: &raw)
            return stride(from: 0, to: size, by: 4).map { word(bytes, $0) }
        }
    }
}
