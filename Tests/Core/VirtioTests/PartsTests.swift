import Device
import EchoDevice
import Linux
import Testing
import Virtio

/// What a function finds of the device behind the transport.
@Suite struct PartsTests {
    /// Shows pictures, and uses its port to the end.
    private final class Screen: VirtioDevice, DisplayDevice, LimitedDevice, MonitorDevice, MemoryKeepingDevice {
        static let type = DeviceType(name: "screen", summary: "Shows nothing.")
        static let id = VirtioID(63, class: .displayOther)

        let queueSizes = [8]
        let heads: [any DisplayHead] = []
        let quota = Quota()
        let videoMemoryUsed: Int? = nil
        let memory: [MappedBytes]
        let state = 0
        private unowned let port: VirtioPort

        init(options: DeviceOptions, port: VirtioPort) throws {
            self.port = port
            memory = [try MemoryFile(name: "pixels", size: 4096)]
        }

        deinit { port.host.report("The screen goes.") }

        func process(_ queue: Int) {}
        func reset() {}
        func apply(_ changes: Quota) throws(QuotaError) {}
        func connect(_ monitor: Monitor?, to head: Int) throws(MonitorError) {}
        func restore(_ state: Int) throws(StateError) {}
    }

    private func made<Driver: VirtioDevice>(_: Driver.Type) throws -> Function {
        typealias Made = VirtioFunction<Driver>
        let host = Host(loop: try EventLoop())
        return try Function(Made(options: DeviceOptions(for: Made.type), host: host), host: host)
    }

    @Test func theDeviceItselfIsFoundAsAllThatItIs() throws {
        let function = try made(Screen.self)
        let screen = try #require(function.device as? VirtioFunction<Screen>).driver
        #expect(function.display === screen)
        #expect(function.limits === screen)
        #expect(function.monitors === screen)
        #expect(function.ownMemory.map(ObjectIdentifier.init) == screen.memory.map(ObjectIdentifier.init))
    }

    @Test func aDeviceThatHasNothingOfItIsFoundAsNothing() throws {
        let function = try made(EchoDevice.self)
        #expect(function.display == nil)
        #expect(function.limits == nil)
        #expect(function.monitors == nil)
        #expect(function.ownMemory.isEmpty)
    }

    @Test func theDeviceGoesBeforeItsPortThoughAFunctionHasFoundIt() throws {
        var last = ""
        try {
            let function = try made(Screen.self)
            function.host.report = { last = $0 }
        }()
        #expect(last == "The screen goes.")
    }
}
