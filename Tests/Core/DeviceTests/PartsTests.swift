import Device
import Linux
import PCI
import Testing

/// A device whose registers don't matter.
private protocol Blank: Device {}

extension Blank {
    static var type: DeviceType { DeviceType(name: "blank", summary: "Nothing.") }
    var identity: PCIIdentity { PCIIdentity(vendor: 0x1234, device: 0x5678, class: .unclassified) }
    var bars: [BAR] { [.memory(0, size: 4096)] }
    var state: Int { 0 }
    func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { 0 }
    func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) {}
    func reset() {}
    func restore(_ state: Int) throws(StateError) {}
}

/// What a function finds of that which only some devices have.
@Suite struct PartsTests {
    private final class Bare: Blank {
        init(options: DeviceOptions, host: Host) {}
    }

    private final class Complete: Blank, DisplayDevice, LimitedDevice, MonitorDevice, MemoryKeepingDevice {
        let heads: [any DisplayHead] = []
        let quota = Quota()
        let videoMemoryUsed: Int? = nil
        let memory: [MappedBytes]

        init(options: DeviceOptions, host: Host) throws {
            memory = [try MemoryFile(name: "pixels", size: 4096)]
        }

        func apply(_ changes: Quota) throws(QuotaError) {}
        func connect(_ monitor: Monitor?, to head: Int) throws(MonitorError) {}
    }

    /// Stands before others.
    private final class Front: Blank {
        let screen = Screen()
        let socket = Socket()
        var parts: [AnyObject] { [screen, socket] }

        init(options: DeviceOptions, host: Host) {}

        final class Screen: DisplayDevice {
            let heads: [any DisplayHead] = []
        }

        final class Socket: MonitorDevice {
            func connect(_ monitor: Monitor?, to head: Int) throws(MonitorError) {}
        }
    }

    private func made<Made: Device>(_: Made.Type) throws -> (device: Made, function: Function) {
        let host = Host(loop: try EventLoop())
        let device = try Made(options: DeviceOptions(for: Made.type), host: host)
        return (device, try Function(device, host: host))
    }

    @Test func aDeviceThatHasAllIsFoundAsEach() throws {
        let (device, function) = try made(Complete.self)
        #expect(function.display === device)
        #expect(function.limits === device)
        #expect(function.monitors === device)
        #expect(function.ownMemory.map(ObjectIdentifier.init) == device.memory.map(ObjectIdentifier.init))
    }

    @Test func aDeviceThatHasNothingIsFoundAsNothing() throws {
        let (_, function) = try made(Bare.self)
        #expect(function.display == nil)
        #expect(function.limits == nil)
        #expect(function.monitors == nil)
        #expect(function.ownMemory.isEmpty)
    }

    @Test func eachPartOfADeviceIsFoundAsWhatItIs() throws {
        let (device, function) = try made(Front.self)
        #expect(function.display === device.screen)
        #expect(function.monitors === device.socket)
        #expect(function.limits == nil)
        #expect(function.ownMemory.isEmpty)
    }
}
