import Linux
import PCI
import VFIO
import VFIOUserClient

extension AttachedClient {
    /// What is connected now: the pin, or messages.
    struct InterruptState {
        var pin: VirtualMachine.InterruptEvent?
        var vectors: [Vector] = []
        var kind = InterruptKind.intx

        struct Vector {
            /// Where its messages go; nil before it was first let through.
            var route: Route?
            /// Whether the server holds it back.
            var isMasked = false
        }

        struct Route {
            let message: MSIMessage
            let event: VirtualMachine.InterruptEvent
        }
    }

    /// What the guest wants of a vector.
    struct WantedVector {
        /// Nil for one that goes nowhere yet.
        var message: MSIMessage?
        var isMasked = false
    }

    /// INTx: the server asserts the pin by one eventfd, and hears by the other when the guest is done.
    func connectPin() throws {
        guard try client.irqInfo(.intx).count > 0 else { return }
        let (trigger, resample) = (try EventFD(), try EventFD())
        interrupts.pin = try machine.interrupt(pin: pin, by: trigger, resample: resample)
        try client.setEventFDs([trigger], kind: .intx)
        try client.setEventFDs([resample], kind: .intx, action: .unmask)
        interrupts.kind = .intx
    }

    /// Brings the interrupts to what the capabilities say now.
    func connectMessages() {
        attempt("Interrupts could not be set up") {
            let (kind, wanted) = try wantedVectors()
            if kind != interrupts.kind {
                try client.disableInterrupts(interrupts.kind)
                interrupts = InterruptState(kind: kind)
                // The type is on from now on, so that the server keeps what is raised behind a mask.
                if kind != .intx { try client.removeEventFDs(kind: kind, count: 1) }
            }
            guard kind != .intx else {
                if interrupts.pin == nil { try connectPin() }
                return
            }
            if interrupts.vectors.count != wanted.count {
                interrupts.vectors = Array(repeating: .init(), count: wanted.count)
            }
            for (vector, wanted) in wanted.enumerated() { connect(vector, wanted) }
        }
    }

    /// Brings MSI-X vectors to what their entries say now.
    func connectVectors(_ vectors: Range<Int>) {
        // While MSI-X is off nothing is connected; the entries are read when it is switched on.
        guard interrupts.kind == .msix, let msix = capabilities.msix else { return }
        for vector in vectors where interrupts.vectors.indices.contains(vector) {
            attempt("Vector \(vector) could not be read") { connect(vector, try entry(vector, of: msix)) }
        }
    }

    /// A masked vector's messages wait in the server, whose pending bits the guest sees; its route is made when it is
    /// let through.
    private func connect(_ vector: Int, _ wanted: WantedVector) {
        let kind = interrupts.kind
        let current = interrupts.vectors[vector]
        attempt("Vector \(vector) could not be connected") {
            guard !wanted.isMasked, let message = wanted.message else {
                guard current.route != nil, !current.isMasked else { return }
                try client.act(.mask, kind: kind, start: vector)
                interrupts.vectors[vector].isMasked = true
                return
            }
            if message != current.route?.message {
                interrupts.vectors[vector].route = nil
                let eventFD = try EventFD()
                let event = try machine.interrupt(message, by: eventFD)
                try client.setEventFDs([eventFD], kind: kind, start: vector)
                interrupts.vectors[vector].route = .init(message: message, event: event)
            }
            if current.isMasked {
                try client.act(.unmask, kind: kind, start: vector)
                interrupts.vectors[vector].isMasked = false
            }
        }
    }

    /// Which type the guest has switched on, and what it wants of the vectors.
    private func wantedVectors() throws(ClientError) -> (InterruptKind, [WantedVector]) {
        if let msix = capabilities.msix {
            let control = try configuration(UInt16.self, msix.offset + 2)
            if control & 0x8000 != 0 {
                var vectors: [WantedVector] = []
                for vector in 0..<msix.vectors { vectors.append(try entry(vector, of: msix)) }
                return (.msix, vectors)
            }
        }
        if let msi = capabilities.msi {
            let control = try configuration(UInt16.self, msi + 2)
            if control & 1 != 0 {
                let low = try configuration(UInt32.self, msi + 4)
                let is64Bit = control & 0x80 != 0
                let high = is64Bit ? try configuration(UInt32.self, msi + 8) : 0
                let data = try configuration(UInt16.self, msi + (is64Bit ? 12 : 8))
                let address = UInt64(high) << 32 | UInt64(low)
                // Vectors are told apart by the lowest bits of the data. PCI Local Bus Specification 3.0, section
                // 6.8.1.6 Their mask bits are in configuration space, where the server looks at them.
                let count = UInt32(1) << UInt32(control >> 4 & 7)
                return (
                    .msi,
                    (0..<min(count, 32)).map { vector in
                        WantedVector(message: MSIMessage(address: address, data: UInt32(data) & ~(count - 1) | vector))
                    }
                )
            }
        }
        return (.intx, [])
    }

    private func entry(_ vector: Int, of msix: DeviceCapabilities.MSIX) throws(ClientError) -> WantedVector {
        let offset = msix.tableOffset + UInt64(vector) * 16
        let address = try client.read(UInt64.self, region: msix.tableBAR, offset: offset)
        let dataAndControl = try client.read(UInt64.self, region: msix.tableBAR, offset: offset + 8)
        let message = MSIMessage(address: address, data: UInt32(truncatingIfNeeded: dataAndControl))
        // An entry that was never written has no address.
        return WantedVector(message: address == 0 ? nil : message, isMasked: dataAndControl >> 32 & 1 != 0)
    }

    private func configuration<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type, _ offset: UInt64
    ) throws(ClientError) -> Value {
        try client.read(type, region: RegionIndex.configuration, offset: offset)
    }
}
