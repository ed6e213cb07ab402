import Tap

/// The kinds of interrupt that a PCI function has, with their VFIO index (`VFIO_PCI_…_IRQ_INDEX`).
public enum InterruptKind: Int, CaseIterable, Sendable {
    /// The pin, level-triggered.
    case intx = 0
    case msi = 1
    case msix = 2
    /// An uncorrectable error, told to the client.
    case error = 3
    /// The device would like to be unplugged.
    case request = 4
}

/// Where a hypervisor takes a function's interrupts from. All calls come on the device's thread.
public protocol InterruptSink: AnyObject {
    /// The kind of message that the guest has set up: ``InterruptKind/msi``, ``InterruptKind/msix``, or nil while it has neither.
    var messageKind: InterruptKind? { get }

    /// Delivers one message.
    ///
    /// - Returns: false when the vector has no way to the guest now; it stays pending then, and
    ///   ``Interrupts/deliverPending()`` tries again.
    func send(_ kind: InterruptKind, vector: Int) -> Bool

    /// Tells the hypervisor, not the guest, of ``InterruptKind/error`` or ``InterruptKind/request``. Nothing
    /// happens under one that has no use for it.
    func notify(_ kind: InterruptKind)

    /// The level of the pin has changed, as far as the guest lets it through.
    func setINTx(_ asserted: Bool)
}

extension InterruptSink {
    public func notify(_ kind: InterruptKind) {}
}

/// A function's interrupts: what the device asked for, what the guest lets through, what waits.
///
/// A device calls ``raise(_:)`` for a message-signalled vector and ``setINTx(_:)`` for its pin. It may
/// do both for the same event: only the kind that the guest has enabled goes out.
/// PCI Local Bus Specification 3.0, sections 6.2.4 and 6.8.
public final class Interrupts {
    /// What configuration space and the MSI-X table hold back.
    struct Gates: Equatable {
        /// Command register, bit 10; in D3hot always.
        var pinDisabled = false
        /// The function is no bus master: a message is a write to memory.
        var messagesDisabled = false
        /// Bit n holds MSI vector n back.
        var msiMask: UInt32 = 0
        /// MSI-X message control, bit 14.
        var msixFunctionMasked = false
        /// What the guest has switched on, of MSI and MSI-X.
        var messageKind: InterruptKind?
    }

    /// The hypervisor's end; nil while none is attached. Then, and until the hypervisor has set up what the guest has switched on,
    /// messages are pending. The pin's level is passed on.
    public weak var sink: (any InterruptSink)? {
        didSet {
            pinSent = false
            updatePin()
        }
    }

    /// Sees what the device asks for.
    @exclusivity(unchecked) var tap: (any Tap)?
    /// Whether the device holds its pin asserted: status register, bit 3.
    public private(set) var pinAsserted = false
    private var pinSent = false
    /// Vectors whose message could not go out yet; MSI-X's pending-bit array.
    private(set) var pending = InlineArray<32, UInt64>(repeating: 0)
    private var anythingPending = false

    var gates = Gates() {
        didSet {
            guard gates != oldValue else { return }
            updatePin()
            deliverPending()
        }
    }

    public init() {}

    // MARK: For devices

    /// Whether the guest has set up messages, MSI or MSI-X; by the pin alone otherwise.
    public var usesMessages: Bool { messageKind != nil }

    private var messageKind: InterruptKind? { sink?.messageKind ?? gates.messageKind }

    /// Sends the message of `vector`, once, or leaves it pending while it is masked or the function is no bus master. Nothing
    /// happens while the guest uses neither MSI nor MSI-X.
    ///
    /// - Parameter vector: from 0; MSI has up to 32, MSI-X up to 2048. Others are ignored.
    public func raise(_ vector: Int) {
        guard vector >= 0, vector < 2048, let kind = messageKind else { return }
        tap?.note(.message(vector: vector))
        if isMasked(kind, vector) || sink?.send(kind, vector: vector) != true {
            pending[vector / 64] |= 1 << UInt64(vector % 64)
            anythingPending = true
        }
    }

    /// Asserts or deasserts the pin: a level, which stays until it is changed.
    public func setINTx(_ asserted: Bool) {
        if asserted != pinAsserted { tap?.note(.pin(isAsserted: asserted)) }
        pinAsserted = asserted
        updatePin()
    }

    /// Tells the hypervisor that the device has failed beyond repair. `VFIO_PCI_ERR_IRQ_INDEX`
    public func reportError() {
        sink?.notify(.error)
    }

    /// Asks the hypervisor to unplug the device. `VFIO_PCI_REQ_IRQ_INDEX`
    public func requestRemoval() {
        sink?.notify(.request)
    }

    // MARK: For the shell and hypervisors

    /// Tries again what is pending: after an unmask, or when a vector got its way to the guest.
    public func deliverPending() {
        guard anythingPending, let sink, let kind = sink.messageKind else { return }
        anythingPending = false
        for word in pending.indices where pending[word] != 0 {
            var left = pending[word]
            while left != 0 {
                let bit = left.trailingZeroBitCount
                left &= left - 1
                let vector = word * 64 + bit
                if !isMasked(kind, vector) && sink.send(kind, vector: vector) {
                    pending[word] &= ~(1 << UInt64(bit))
                } else {
                    anythingPending = true
                }
            }
        }
    }

    /// Forgets what is pending and deasserts the pin, as a reset does.
    func reset() {
        clearPending()
        setINTx(false)
    }

    /// Forgets what is pending: messages of a kind that was switched off don't go out later.
    public func clearPending() {
        pending = InlineArray(repeating: 0)
        anythingPending = false
    }

    /// Takes over what a saved function had pending and asserted.
    func restore(pinAsserted: Bool, pending saved: [UInt64]) throws(StateError) {
        guard saved.count <= pending.count else {
            throw StateError(
                "The state has \(saved.count) words of pending interrupts; there are at most \(pending.count).")
        }
        clearPending()
        for (index, word) in saved.enumerated() { pending[index] = word }
        anythingPending = saved.contains { $0 != 0 }
        setINTx(pinAsserted)
    }

    private func isMasked(_ kind: InterruptKind, _ vector: Int) -> Bool {
        switch kind {
        case .msi: gates.messagesDisabled || vector < 32 && gates.msiMask & (1 << UInt32(vector)) != 0
        case .msix: gates.messagesDisabled || gates.msixFunctionMasked
        default: false
        }
    }

    private func updatePin() {
        let level = pinAsserted && !gates.pinDisabled
        guard level != pinSent else { return }
        pinSent = level
        sink?.setINTx(level)
    }
}
