import Device
import Linux
import PCI
import VFIO

/// Where a client wants its interrupts: what VFIO_USER_DEVICE_SET_IRQS has set up.
///
/// The rules are those of the kernel's vfio-pci driver (`vfio_pci_intrs.c`): one of INTx, MSI and MSI-X at a
/// time, INTx masks itself when it is sent, and ranges lie inside what GET_IRQ_INFO tells. Unlike there, messages can
/// be masked as well.
final class InterruptTable: Transport {
    /// The eventfds of one interrupt.
    private struct Vector {
        var trigger: EventFD?
        var masked = false
    }

    /// One interrupt type.
    private struct Line {
        let info: IRQInfo
        /// Empty while the type is off.
        var vectors: [Vector] = []
        var isOn: Bool { !vectors.isEmpty }
    }

    /// An eventfd by which a client masks or unmasks INTx without a message.
    private struct Control {
        let eventFD: EventFD
        let token: EventLoop.Token
    }

    private var lines: [Line]
    private var pinLevel = false
    private var maskControl: Control?
    private var unmaskControl: Control?
    private let interrupts: Interrupts
    private let loop: EventLoop
    /// How many eventfds were signalled, by `InterruptKind`.
    private(set) var sent = InterruptKind.Counts(repeating: 0)

    /// - Parameter counts: how many interrupts of each type there are, by `InterruptKind`.
    init(counts: [Int], interrupts: Interrupts, loop: EventLoop) {
        lines = InterruptKind.allCases.map { kind in
            let count = UInt32(counts[Int(kind.rawValue)])
            let flags: IRQInfo.Flags =
                switch kind {
                case .intx: [.eventfd, .maskable, .automasked]
                case .msi, .msix: [.eventfd, .maskable]
                case .error, .request: [.eventfd]
                }
            return Line(info: IRQInfo(index: kind.rawValue, flags: count == 0 ? [] : flags, count: count))
        }
        self.interrupts = interrupts
        self.loop = loop
    }

    /// Forgets everything the client has set up and closes its descriptors.
    func reset() {
        for kind in InterruptKind.allCases { disable(kind) }
    }

    /// The answer to GET_IRQ_INFO.
    ///
    /// - Throws: EINVAL for a type that PCI doesn't have.
    func info(_ index: UInt32) throws(Errno) -> IRQInfo {
        guard let kind = InterruptKind(rawValue: index) else { throw .invalidArgument }
        return lines[Int(kind.rawValue)].info
    }

    // MARK: SET_IRQS

    /// Carries out a request; either all of it or, when it throws, nothing.
    ///
    /// - Parameters:
    ///   - bools: for ``IRQSet/DataType/bool``, one byte for each interrupt.
    ///   - descriptors: those of the message.
    /// - Throws: EINVAL for ranges and descriptors that don't fit or a type that can't be on now, ENOTTY for an
    ///   action that the type doesn't have.
    func apply(_ set: IRQSet, bools: RawSpan, descriptors: inout ReceivedDescriptors) throws(Errno) {
        guard let kind = InterruptKind(rawValue: set.index) else { throw .invalidArgument }
        let available = lines[Int(set.index)].info.count
        // As in the kernel a type of which there is none can't even be switched off.
        guard set.start < available, set.count <= available - set.start else { throw .invalidArgument }
        let expected = set.data == .eventfd ? Int(set.count) : 0
        guard descriptors.count == 0 || descriptors.count == expected else { throw .invalidArgument }
        if set.count == 0 {
            // The kernel's special case: no interrupts, no data, trigger: off with the whole type.
            guard set.data == .none, set.action == .trigger else { throw .invalidArgument }
            disable(kind)
            return
        }
        if set.data == .eventfd {
            try assign(set, kind, &descriptors)
            return
        }
        if set.action != .trigger, kind == .error || kind == .request { throw .inappropriateIOCTLForDevice }
        guard lines[Int(set.index)].isOn else { throw .invalidArgument }
        for number in 0..<Int(set.count) {
            if set.data == .bool, bools.unsafeLoad(fromByteOffset: number, as: UInt8.self) == 0 { continue }
            let vector = Int(set.start) + number
            switch set.action {
            case .trigger: trigger(kind, vector)
            case .mask: lines[Int(set.index)].vectors[vector].masked = true
            case .unmask: unmask(kind, vector)
            }
        }
    }

    private func assign(_ set: IRQSet, _ kind: InterruptKind, _ descriptors: inout ReceivedDescriptors) throws(Errno) {
        let isRemoval = descriptors.count == 0
        var eventFDs: [EventFD] = []
        for number in 0..<descriptors.count {
            guard let descriptor = descriptors.take(number) else { throw .invalidArgument }
            eventFDs.append(try EventFD(adopting: descriptor))
        }
        guard set.action == .trigger else {
            guard kind == .intx else { throw .inappropriateIOCTLForDevice }
            guard lines[0].isOn else { throw .invalidArgument }
            try setControl(set.action, isRemoval ? nil : eventFDs[0])
            return
        }
        try enable(kind)
        for number in 0..<Int(set.count) {
            lines[Int(set.index)].vectors[Int(set.start) + number].trigger = isRemoval ? nil : eventFDs[number]
        }
        if kind == .intx {
            sendPin()
        } else {
            interrupts.deliverPending()
        }
    }

    /// Switches a type on, unless another that excludes it is on.
    private func enable(_ kind: InterruptKind) throws(Errno) {
        guard !lines[Int(kind.rawValue)].isOn else { return }
        let exclusive: [InterruptKind] = [.intx, .msi, .msix]
        if exclusive.contains(kind) {
            guard !exclusive.contains(where: { lines[Int($0.rawValue)].isOn }) else { throw .invalidArgument }
        }
        let count = Int(lines[Int(kind.rawValue)].info.count)
        lines[Int(kind.rawValue)].vectors = Array(repeating: Vector(), count: count)
    }

    private func disable(_ kind: InterruptKind) {
        guard lines[Int(kind.rawValue)].isOn else { return }
        lines[Int(kind.rawValue)].vectors = []
        if kind == .intx {
            dropControl(&maskControl)
            dropControl(&unmaskControl)
        } else if kind == .msi || kind == .msix, interrupts.transport === self {
            // The guest has switched them off. When the client leaves, they wait for the next one.
            interrupts.clearPending()
        }
    }

    private func trigger(_ kind: InterruptKind, _ vector: Int) {
        if kind == .intx {
            if !lines[0].vectors[0].masked { signalPin() }
        } else {
            signal(lines[Int(kind.rawValue)].vectors[vector].trigger, Int(kind.rawValue))
        }
    }

    private func unmask(_ kind: InterruptKind, _ vector: Int) {
        lines[Int(kind.rawValue)].vectors[vector].masked = false
        if kind == .intx { sendPin() } else { interrupts.deliverPending() }
    }

    private func signal(_ eventFD: EventFD?, _ index: Int) {
        guard let eventFD else { return }
        // A full counter means that the client has an interrupt waiting already.
        eventFD.signal()
        sent[index] &+= 1
    }

    // MARK: Masking by eventfd

    /// Watches an eventfd whose signal masks or unmasks INTx (KVM's resample eventfd is one).
    private func setControl(_ action: IRQSet.Action, _ eventFD: EventFD?) throws(Errno) {
        var control: Control?
        if let eventFD {
            // A client's eventfd may give its value away one by one (EFD_SEMAPHORE), and stay readable for ever.
            let token = try loop.watch("INTx mask", eventFD.descriptor, for: [.readable, .onceEach]) {
                [unowned self] _ in
                eventFD.consume()
                guard lines[0].isOn else { return }
                if action == .mask { lines[0].vectors[0].masked = true } else { unmask(.intx, 0) }
            }
            control = Control(eventFD: eventFD, token: token)
        }
        if action == .mask {
            dropControl(&maskControl)
            maskControl = control
        } else {
            dropControl(&unmaskControl)
            unmaskControl = control
        }
    }

    private func dropControl(_ control: inout Control?) {
        if let token = control?.token { loop.unwatch(token) }
        control = nil
    }

    // MARK: Transport

    var messageRouting: MessageRouting {
        .byVector(
            lines[Int(InterruptKind.msix.rawValue)].isOn
                ? .msix : lines[Int(InterruptKind.msi.rawValue)].isOn ? .msi : nil)
    }

    func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool {
        let line = lines[Int(kind.rawValue)]
        guard vector < line.vectors.count, !line.vectors[vector].masked, let trigger = line.vectors[vector].trigger
        else { return false }
        signal(trigger, Int(kind.rawValue))
        return true
    }

    func setINTx(_ asserted: Bool) {
        pinLevel = asserted
        sendPin()
    }

    /// Tells the client that the pin is asserted, once: it must unmask before it hears again.
    private func sendPin() {
        guard pinLevel, lines[0].isOn, !lines[0].vectors[0].masked else { return }
        signalPin()
    }

    private func signalPin() {
        guard let trigger = lines[0].vectors[0].trigger else { return }
        lines[0].vectors[0].masked = true
        signal(trigger, 0)
    }

    func notify(_ kind: InterruptKind) {
        signal(lines[Int(kind.rawValue)].vectors.first?.trigger, Int(kind.rawValue))
    }
}
