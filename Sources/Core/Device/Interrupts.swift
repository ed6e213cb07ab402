import Alteration
import PCI
import Tap

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
        /// What the guest has set up of MSI; nil without the capability.
        var msi: MSI?
        /// MSI-X message control, bit 14.
        var msixFunctionMasked = false
        /// What the guest has switched on, of MSI and MSI-X.
        var messageKind: InterruptKind?
    }

    /// That of the function, see ``Function/transport``; nil while none is attached. Then, and until the transport
    /// knows the way of what the guest has switched on, messages are pending. The pin's level is passed on.
    public weak var transport: (any Transport)? {
        didSet {
            pinSent = false
            updatePin()
            deliverPending()
        }
    }

    /// What the guest has set up of MSI-X; nil without the capability.
    @exclusivity(unchecked) var msixTable: MSIXTable?
    /// Sees what the device asks for.
    @exclusivity(unchecked) var tap: (any Tap)? {
        didSet {
            routingTold = nil
            isWatched = tap != nil || alterer != nil
        }
    }
    /// What the tap was told last of the way of messages.
    private var routingTold: MessageRouting?
    /// Alters what the device asks for.
    @exclusivity(unchecked) var alterer: (any Alterer)? {
        didSet { isWatched = tap != nil || alterer != nil }
    }
    /// Whether there is any of these: one comparison for both.
    @exclusivity(unchecked) private var isWatched = false
    /// Those that wait because whoever alters wants it so.
    let parkings = Parkings()
    /// Whether the device holds its pin asserted: status register, bit 3.
    public private(set) var pinAsserted = false
    private var pinSent = false
    /// Vectors whose message could not go out yet; MSI-X's pending-bit array.
    private(set) var pending = InlineArray<32, UInt64>(repeating: 0)
    private static let pendingWords = 32
    private var anythingPending = false

    var gates = Gates() {
        didSet {
            guard gates != oldValue else { return }
            // By number, whoever has switched a kind off says so.
            if transport?.messageRouting == .byAddress, let kind = oldValue.messageKind, kind != gates.messageKind {
                clearPending()
            }
            updatePin()
            deliverPending()
        }
    }

    public init() {}

    // MARK: For devices

    /// Whether the guest has set up messages, MSI or MSI-X; by the pin alone otherwise.
    public var usesMessages: Bool {
        if isWatched { tellRouting() }
        return messageKind != nil
    }

    private var messageKind: InterruptKind? {
        if case .byVector(let kind?) = transport?.messageRouting { return kind }
        return gates.messageKind
    }

    /// What a device does depends on it, and nothing else tells when it changes.
    @inline(never)
    private func tellRouting() {
        let routing = transport?.messageRouting ?? .byVector(nil)
        guard let tap, routing != routingTold else { return }
        routingTold = routing
        tap.note(.event(routing.event))
    }

    /// Sends the message of `vector`, once, or leaves it pending while it is masked or the function is no bus master.
    /// Nothing happens while the guest uses neither MSI nor MSI-X.
    ///
    /// - Parameter vector: from 0; MSI has up to 32, MSI-X up to 2048. Others are ignored.
    public func raise(_ vector: Int) {
        if isWatched { return raiseInSight(vector) }
        guard vector >= 0, vector < 2048, let kind = messageKind else { return }
        sendOrKeep(kind, vector)
    }

    /// As ``raise(_:)``, but whoever alters isn't asked.
    func raiseAsItIs(_ vector: Int) {
        guard vector >= 0, vector < 2048 else { return }
        tellRouting()
        guard let kind = messageKind else { return }
        tap?.note(.message(vector: vector))
        sendOrKeep(kind, vector)
    }

    private func sendOrKeep(_ kind: InterruptKind, _ vector: Int) {
        if isMasked(kind, vector) || !deliver(kind, vector) {
            pending[vector / 64] |= 1 << UInt64(vector % 64)
            anythingPending = true
            tap?.note(.pending(vector: vector, true))
        }
    }

    /// Asserts or deasserts the pin: a level, which stays until it is changed.
    public func setINTx(_ asserted: Bool) {
        let isChanged = asserted != pinAsserted
        pinAsserted = asserted
        if isWatched, isChanged { return passPinInSight(asserted) }
        updatePin()
    }

    /// Tells the hypervisor that the device has failed beyond repair. `VFIO_PCI_ERR_IRQ_INDEX`
    public func reportError() {
        transport?.notify(.error)
    }

    /// Asks the hypervisor to unplug the device. `VFIO_PCI_REQ_IRQ_INDEX`
    public func requestRemoval() {
        transport?.notify(.request)
    }

    // MARK: For the shell and transports

    /// Tries again what is pending: after an unmask, or when a vector got its way to the guest.
    public func deliverPending() {
        guard anythingPending, let kind = deliverableKind else { return }
        anythingPending = false
        forEachPending { vector in
            if !isMasked(kind, vector) && deliver(kind, vector) { forget(vector) } else { anythingPending = true }
        }
    }

    private func forEachPending(_ body: (Int) -> Void) {
        for word in pending.indices {
            var left = pending[word]
            while left != 0 {
                body(word * 64 + left.trailingZeroBitCount)
                left &= left - 1
            }
        }
    }

    /// A vector's message waits no more.
    public func forget(_ vector: Int) {
        guard vector >= 0, vector < 2048, pending[vector / 64] & 1 << UInt64(vector % 64) != 0 else { return }
        pending[vector / 64] &= ~(1 << UInt64(vector % 64))
        tap?.note(.pending(vector: vector, false))
    }

    /// The kind whose messages can find their way now.
    private var deliverableKind: InterruptKind? {
        switch transport?.messageRouting {
        case .byVector(let kind): kind
        case .byAddress: gates.messageKind
        case nil: nil
        }
    }

    private func deliver(_ kind: InterruptKind, _ vector: Int) -> Bool {
        guard let transport else { return false }
        switch transport.messageRouting {
        case .byVector(let known): return known == kind && transport.send(kind, vector: vector, nil)
        case .byAddress:
            let message = kind == .msix ? msixTable?[vector]?.message : gates.msi?.message(for: vector)
            guard let message else { return false }
            return transport.send(kind, vector: vector, message)
        }
    }

    /// Writes the MSI-X table, and sends what was pending behind a mask that is gone.
    ///
    /// - Parameter offset: from the table's beginning.
    func writeTable(at offset: Int, from source: RawSpan) {
        guard msixTable?.write(at: offset, from: source).isEmpty == false else { return }
        deliverPending()
    }

    /// Resets the MSI-X table, forgets what is pending and what waits, and deasserts the pin.
    func reset() {
        msixTable?.reset()
        clearPending()
        setINTx(false)
        // The deasserted pin as well: nothing of before comes after a reset.
        parkings.cancel()
        updatePin()
    }

    /// Forgets what is pending: messages of a kind that was switched off don't go out later.
    public func clearPending() {
        guard anythingPending else { return }
        forEachPending(forget)
        anythingPending = false
    }

    /// - Throws: ``StateError`` when no function can have these pending.
    static func check(pending saved: [UInt64]) throws(StateError) {
        guard saved.count <= pendingWords else {
            throw StateError(
                "The state has \(saved.count) words of pending interrupts; there are at most \(pendingWords).")
        }
    }

    /// Takes over what a saved function had pending and asserted, and sends what has a way to the guest. What waits
    /// was another's.
    ///
    /// - Parameter saved: such as ``check(pending:)`` admits.
    func restore(pinAsserted: Bool, pending saved: [UInt64]) {
        parkings.cancel()
        clearPending()
        for (index, word) in saved.enumerated() { pending[index] = word }
        anythingPending = saved.contains { $0 != 0 }
        setINTx(pinAsserted)
        deliverPending()
    }

    private func isMasked(_ kind: InterruptKind, _ vector: Int) -> Bool {
        switch kind {
        case .msi: gates.messagesDisabled || vector < 32 && (gates.msi?.mask ?? 0) & (1 << UInt32(vector)) != 0
        case .msix: gates.messagesDisabled || gates.msixFunctionMasked || isMaskedInTable(vector)
        default: false
        }
    }

    private func isMaskedInTable(_ vector: Int) -> Bool {
        transport?.messageRouting == .byAddress && msixTable?[vector]?.masked != false
    }

    func updatePin() {
        let level = pinAsserted && !gates.pinDisabled
        guard level != pinSent else { return }
        pinSent = level
        transport?.setINTx(level)
    }
}
