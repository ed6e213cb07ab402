import Device
import Linux
import PCI
import Testing
import TutorialDevice

private final class Pin: Transport {
    var level = false
    let messageRouting = MessageRouting.byVector(nil)
    func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool { false }
    func setINTx(_ asserted: Bool) { level = asserted }
}

@Suite struct BellTests {
    private let pin = Pin()
    private let bell: Bell

    init() throws {
        let host = Host(loop: try EventLoop())
        host.interrupts.transport = pin
        bell = Bell(options: try DeviceOptions(for: Bell.type), host: host)
    }

    private func ring(width: AccessWidth = .dword) {
        bell.write(0, at: 0, width: width, value: 0)
    }

    private func count() -> UInt64 {
        bell.read(0, at: 4, width: .dword)
    }

    @Test func ringingInterruptsUntilTheCountIsRead() {
        ring()
        ring(width: .byte)
        #expect(pin.level)
        #expect(count() == 2)
        #expect(!pin.level)
        #expect(count() == 0)
    }

    @Test func otherAddressesDoNothing() {
        bell.write(0, at: 4, width: .dword, value: 1)
        bell.write(0, at: 8, width: .qword, value: 1)
        #expect(bell.read(0, at: 0, width: .dword) == 0)
        #expect(!pin.level)
    }

    @Test func aResetSilencesIt() {
        ring()
        bell.reset()
        #expect(!pin.level)
        #expect(count() == 0)
    }

    @Test func aRestoredBellGoesOnRinging() throws {
        ring()
        let state = bell.state
        bell.reset()
        try bell.restore(state)
        #expect(pin.level)
        #expect(count() == 1)
    }
}
