import Linux
import PCI
import VFIO

/// Interrupts. VFIO_USER_DEVICE_SET_IRQS
extension Client {
    /// Has interrupts `start` and following signalled by these eventfds; the type is on from then on.
    public func setEventFDs(
        _ eventFDs: [EventFD], kind: InterruptKind, start: Int = 0, action: IRQSet.Action = .trigger
    ) throws(ClientError) {
        let set = IRQSet(
            kind: kind, start: UInt32(start), count: UInt32(eventFDs.count), data: .eventfd, action: action)
        try send(set, descriptors: eventFDs.map { $0.descriptor.raw })
    }

    /// Takes the eventfds of some interrupts away; the type stays on.
    public func removeEventFDs(
        kind: InterruptKind, start: Int = 0, count: Int, action: IRQSet.Action = .trigger
    ) throws(ClientError) {
        try send(
            IRQSet(kind: kind, start: UInt32(start), count: UInt32(count), data: .eventfd, action: action))
    }

    /// Switches a type off.
    public func disableInterrupts(_ kind: InterruptKind) throws(ClientError) {
        try send(IRQSet(kind: kind, count: 0, data: .none, action: .trigger))
    }

    /// Masks, unmasks or triggers a range of interrupts.
    public func act(_ action: IRQSet.Action, kind: InterruptKind, start: Int = 0, count: Int = 1) throws(ClientError) {
        try send(IRQSet(kind: kind, start: UInt32(start), count: UInt32(count), data: .none, action: action))
    }

    /// Masks, unmasks or triggers those interrupts whose element is true.
    public func act(
        _ action: IRQSet.Action, kind: InterruptKind, start: Int = 0, where selected: [Bool]
    ) throws(ClientError) {
        let set = IRQSet(
            kind: kind, start: UInt32(start), count: UInt32(selected.count), data: .bool, action: action)
        try send(set, bools: selected)
    }

    private func send(_ set: IRQSet, bools: [Bool] = [], descriptors: [Int32] = []) throws(ClientError) {
        let count = prepare { bytes in
            var end = set.write(into: &bytes)
            for flag in bools {
                bytes.storeBytes(of: flag ? 1 : 0, toByteOffset: end, as: UInt8.self)
                end += 1
            }
            return end
        }
        finish(try call(.deviceSetIRQs, payload: count, descriptors: descriptors))
    }
}
