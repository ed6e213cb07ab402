import Linux
import VFIO
import VFIOUser

extension AttachedDevice {
    /// What is connected now: the pin, or messages.
    struct InterruptState {
        var pin: VirtualMachine.InterruptEvent?
        /// By vector.
        var messages: [Message?] = []
        var index = IRQIndex.intx

        struct Message {
            let address: UInt64
            let data: UInt32
            let event: VirtualMachine.InterruptEvent
        }
    }

    /// INTx: the server asserts the pin by one eventfd, and hears by the other when the guest is done.
    func connectPin() throws {
        guard try client.irqInfo(.intx).count > 0 else { return }
        let (trigger, resample) = (try EventFD(), try EventFD())
        interrupts.pin = try machine.interrupt(pin: pin, by: trigger, resample: resample)
        try client.setEventFDs([trigger], index: .intx)
        try client.setEventFDs([resample], index: .intx, action: .unmask)
        interrupts.index = .intx
    }

    /// Brings the messages to what the capabilities say now.
    func connectMessages() {
        // A server that refuses leaves the device without interrupts: the guest's driver will notice, the machine goes on.
        do {
            let (index, wanted) = try wantedMessages()
            if index != interrupts.index { try disconnect() }
            guard index != .intx else {
                if interrupts.pin == nil { try connectPin() }
                return
            }
            interrupts.index = index
            try connect(wanted, index)
        } catch {}
    }

    private func disconnect() throws {
        try client.disableInterrupts(interrupts.index)
        interrupts.pin = nil
        interrupts.messages = []
    }

    private func connect(_ wanted: [(address: UInt64, data: UInt32)?], _ index: IRQIndex) throws {
        if interrupts.messages.count != wanted.count {
            interrupts.messages = Array(repeating: nil, count: wanted.count)
        }
        for (vector, message) in wanted.enumerated() {
            let current = interrupts.messages[vector]
            guard let message, message.address != current?.address || message.data != current?.data else { continue }
            interrupts.messages[vector] = nil
            let eventFD = try EventFD()
            let event = try machine.interrupt(address: message.address, data: message.data, by: eventFD)
            try client.setEventFDs([eventFD], index: index, start: vector)
            interrupts.messages[vector] = .init(address: message.address, data: message.data, event: event)
        }
    }

    /// Which type the guest has switched on, and where its vectors go; nil for those that go nowhere yet.
    private func wantedMessages() throws(ClientError) -> (IRQIndex, [(address: UInt64, data: UInt32)?]) {
        if let msix = messages.msix {
            let control = try configuration(UInt16.self, msix.offset + 2)
            if control & 0x8000 != 0 { return (.msix, try table(msix)) }
        }
        if let msi = messages.msi {
            let control = try configuration(UInt16.self, msi + 2)
            if control & 1 != 0 {
                let low = try configuration(UInt32.self, msi + 4)
                let is64Bit = control & 0x80 != 0
                let high = is64Bit ? try configuration(UInt32.self, msi + 8) : 0
                let data = try configuration(UInt16.self, msi + (is64Bit ? 12 : 8))
                let address = UInt64(high) << 32 | UInt64(low)
                // Vectors are told apart by the lowest bits of the data. PCI Local Bus Specification 3.0, section 6.8.1.6
                let count = UInt32(1) << UInt32(control >> 4 & 7)
                return (.msi, (0..<min(count, 32)).map { (address, UInt32(data) & ~(count - 1) | $0) })
            }
        }
        return (.intx, [])
    }

    private func table(_ msix: MessageCapabilities.MSIX) throws(ClientError) -> [(address: UInt64, data: UInt32)?] {
        var entries: [(address: UInt64, data: UInt32)?] = []
        for vector in 0..<msix.vectors {
            let offset = msix.tableOffset + UInt64(vector) * 16
            let address = try client.read(UInt64.self, region: msix.tableBAR, offset: offset)
            let data = try client.read(UInt32.self, region: msix.tableBAR, offset: offset + 8)
            // The server looks after the masks; an entry that was never written has no address.
            entries.append(address == 0 ? nil : (address, data))
        }
        return entries
    }

    private func configuration<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type, _ offset: UInt64
    ) throws(ClientError) -> Value {
        try client.read(type, region: RegionIndex.configuration, offset: offset)
    }
}
