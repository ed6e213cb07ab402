import Device
import DeviceCatalog
import GuestMemory
import Linux
import Testing

/// What types say of the memory that a domain gets for them.
@Suite struct MappedMemoryTests {
    @Test(
        arguments: DeviceCatalog.types.map { ($0.name, []) } + [
            ("bochs-display", ["vram=9M"]), ("bochs-display", ["vram=4M", "aperture=64M"]),
        ])
    func aTypeSaysWhatItsDeviceHas(name: String, options: [String]) throws {
        var taken = 0
        let memory = DeviceMemory { (name, size, isOwnAlone, isBehindBAR) throws(Errno) in
            if isBehindBAR, !isOwnAlone { taken += size }
            return try MemoryFile(name: name, size: size, isOwnAlone: isOwnAlone)
        }
        _ = try DeviceCatalog.make(name, options: options, host: Host(loop: EventLoop(), deviceMemory: memory))
        #expect(try DeviceCatalog.mappedMemory(name, options: options) == taken)
    }

    @Test func whatNoDeviceCanHaveIsAnError() {
        #expect(throws: OptionError.self) {
            try DeviceCatalog.mappedMemory("bochs-display", options: ["vram=4M", "aperture=2M"])
        }
    }
}
