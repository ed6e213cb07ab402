import CKVM
import Linux
import PCI

extension VirtualMachine {
    /// What stands behind each GSI: the pins of the interrupt controllers, as on a PC, and messages.
    struct Routes {
        /// The first GSI that is no pin.
        static let firstMessage: UInt32 = 24
        var messages: [UInt32: MSIMessage] = [:]

        var all: [kvm_irq_routing_entry] {
            var entries: [kvm_irq_routing_entry] = []
            for gsi in 0..<Self.firstMessage {
                if gsi < 16, gsi != 2 {
                    entries.append(
                        .pin(gsi, chip: gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin: gsi % 8))
                }
                entries.append(.pin(gsi, chip: KVM_IRQCHIP_IOAPIC, pin: gsi))
            }
            for (gsi, message) in messages { entries.append(.message(gsi, message)) }
            return entries
        }
    }

    func setRoutes(_ entries: [kvm_irq_routing_entry]) throws(KVMError) {
        try call("KVM_SET_GSI_ROUTING", ckvm_set_routes(descriptor.raw, entries, entries.count))
    }

    /// An eventfd whose signal is an interrupt of the guest, with no exit. KVM_IRQFD. It ends when this object goes.
    public final class InterruptEvent: Sendable {
        private let machine: VirtualMachine
        private let gsi: UInt32
        private let isMessage: Bool
        public let eventFD: EventFD
        /// Signalled when the guest has handled a level-triggered interrupt.
        public let resample: EventFD?

        fileprivate init(
            _ machine: VirtualMachine, gsi: UInt32, isMessage: Bool, _ eventFD: EventFD, resample: EventFD?
        ) throws(KVMError) {
            self.machine = machine
            self.gsi = gsi
            self.isMessage = isMessage
            self.eventFD = eventFD
            self.resample = resample
            var irqfd = kvm_irqfd()
            irqfd.fd = UInt32(eventFD.descriptor.raw)
            irqfd.gsi = gsi
            if let resample {
                irqfd.flags = UInt32(KVM_IRQFD_FLAG_RESAMPLE)
                irqfd.resamplefd = UInt32(resample.descriptor.raw)
            }
            try call("KVM_IRQFD", ckvm_irqfd(machine.descriptor.raw, &irqfd))
        }

        deinit {
            var irqfd = kvm_irqfd()
            irqfd.fd = UInt32(eventFD.descriptor.raw)
            irqfd.gsi = gsi
            irqfd.flags = UInt32(KVM_IRQFD_FLAG_DEASSIGN)
            _ = ckvm_irqfd(machine.descriptor.raw, &irqfd)
            if isMessage { machine.removeMessage(gsi) }
        }
    }

    /// Ties an eventfd to a pin.
    ///
    /// - Parameters:
    ///   - pin: 0 to 23, of the IOAPIC; below 16 of the PICs too.
    ///   - resample: for a level-triggered pin: signalled at the guest's end of interrupt, while the eventfd's signal
    ///     only
    ///     asserts the pin.
    public func interrupt(pin: UInt32, by eventFD: EventFD, resample: EventFD? = nil) throws(KVMError) -> InterruptEvent
    {
        try InterruptEvent(self, gsi: pin, isMessage: false, eventFD, resample: resample)
    }

    /// Ties an eventfd to a message, as MSI and MSI-X send it.
    public func interrupt(_ message: MSIMessage, by eventFD: EventFD) throws(KVMError) -> InterruptEvent {
        let (gsi, entries) = routes.withLock { routes in
            var gsi = Routes.firstMessage
            while routes.messages[gsi] != nil { gsi += 1 }
            routes.messages[gsi] = message
            return (gsi, routes.all)
        }
        do throws(KVMError) {
            try setRoutes(entries)
            return try InterruptEvent(self, gsi: gsi, isMessage: true, eventFD, resample: nil)
        } catch {
            removeMessage(gsi)
            throw error
        }
    }

    /// Sends a message, as a write of its data to its address would. KVM_SIGNAL_MSI
    public func send(_ message: MSIMessage) throws(KVMError) {
        try call("KVM_SIGNAL_MSI", ckvm_signal_message(descriptor.raw, message.address, message.data))
    }

    /// One of those who share a level-triggered pin of the interrupt controllers: it is asserted while one of them
    /// asserts it.
    public final class Pin: Sendable {
        private let machine: VirtualMachine
        private let gsi: UInt32
        private let isAsserted = Locked(false)

        fileprivate init(_ machine: VirtualMachine, gsi: UInt32) {
            self.machine = machine
            self.gsi = gsi
        }

        /// KVM_IRQ_LINE
        public func set(_ asserted: Bool) throws(KVMError) {
            try isAsserted.withLock { before throws(KVMError) in
                guard asserted != before else { return }
                before = asserted
                try machine.assert(gsi, by: asserted ? 1 : -1)
            }
        }

        deinit { try? set(false) }
    }

    /// - Parameter gsi: as for ``interrupt(pin:by:resample:)``.
    public func pin(_ gsi: UInt32) -> Pin { Pin(self, gsi: gsi) }

    private func assert(_ gsi: UInt32, by change: Int) throws(KVMError) {
        try asserted.withLock { asserted throws(KVMError) in
            let before = asserted[gsi] ?? 0
            asserted[gsi] = before + change
            guard (before == 0) != (before + change == 0) else { return }
            try call("KVM_IRQ_LINE", ckvm_set_pin(descriptor.raw, gsi, change > 0 ? 1 : 0))
        }
    }

    private func removeMessage(_ gsi: UInt32) {
        let entries = routes.withLock { routes in
            routes.messages[gsi] = nil
            return routes.all
        }
        try? setRoutes(entries)
    }
}

extension kvm_irq_routing_entry {
    fileprivate static func pin(_ gsi: UInt32, chip: Int32, pin: UInt32) -> kvm_irq_routing_entry {
        var entry = kvm_irq_routing_entry()
        entry.gsi = gsi
        entry.type = UInt32(KVM_IRQ_ROUTING_IRQCHIP)
        entry.u.irqchip = kvm_irq_routing_irqchip(irqchip: UInt32(chip), pin: pin)
        return entry
    }

    fileprivate static func message(_ gsi: UInt32, _ message: MSIMessage) -> kvm_irq_routing_entry {
        var entry = kvm_irq_routing_entry()
        entry.gsi = gsi
        entry.type = UInt32(KVM_IRQ_ROUTING_MSI)
        entry.u.msi.address_lo = UInt32(truncatingIfNeeded: message.address)
        entry.u.msi.address_hi = UInt32(truncatingIfNeeded: message.address >> 32)
        entry.u.msi.data = message.data
        return entry
    }
}
