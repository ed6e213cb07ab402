import PCI

/// What a function asks of whatever brings its accesses: a server of vfio-user, a virtual machine monitor, a device
/// model of a hypervisor, a test. Calls come one at a time, on the thread that has the function just then: its own or,
/// where threads take turns, any of those.
///
/// The other way round, a transport brings accesses by ``Function/read(region:offset:into:by:)`` and
/// ``Function/write(region:offset:from:by:)``, doorbells by ``DoorbellTable``, and puts the guest's memory into
/// ``Host/memory``.
public protocol Transport: AnyObject {
    /// Who says where a message goes, and which are masked.
    var messageRouting: MessageRouting { get }

    /// Delivers one message.
    ///
    /// - Parameter message: what the guest has set up for the vector; nil with ``MessageRouting/byVector(_:)``.
    /// - Returns: false when the vector has no way to the guest now; it stays pending then, and
    ///   ``Interrupts/deliverPending()`` tries again.
    func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool

    /// The level of the pin has changed, as far as the guest lets it through.
    func setINTx(_ asserted: Bool)

    /// Tells the hypervisor, not the guest, of ``InterruptKind/error`` or ``InterruptKind/request``. Nothing
    /// happens under one that has no use for it.
    func notify(_ kind: InterruptKind)

    /// The guest has moved a BAR or the expansion ROM. What is there now has its accesses answered, and its
    /// ``Function/Region/mapped`` parts mapped. Nothing happens under one whose client looks after addresses.
    ///
    /// - Parameters:
    ///   - region: 0 to 5, or `RegionIndex.rom`.
    ///   - placement: nil when it is nowhere now. Whatever leaves is told of before what comes to its place.
    func place(_ region: Int, at placement: BARPlacement?)
}

/// How a transport finds the way of a message.
public enum MessageRouting: Equatable, Sendable {
    /// By number: whoever is behind the transport has said, for the vectors of one kind, where each goes and which are
    /// masked. That counts, whatever the function's own registers say; nil while nothing was said.
    case byVector(InterruptKind?)
    /// By address and data: those in the function's MSI capability and MSI-X table, with their masks.
    case byAddress

    /// What a tap is told when messages go this way from now on.
    var event: String { Self.events[number] ?? "" }

    /// - Parameter event: what a tap was told; nil for any other event's name.
    public init?(event: String) {
        guard let number = Self.events.first(where: { $0.value == event })?.key else { return nil }
        self.init(number: number)
    }

    private static let events: [UInt64: String] = [
        0: "interrupts: none", 1: "interrupts: MSI", 2: "interrupts: MSI-X", 255: "interrupts: by address",
    ]

    /// As recordings have it: by vector 0 for none, 1 for MSI, 2 for MSI-X; 255 by address.
    public var number: UInt64 {
        switch self {
        case .byVector(.msi): 1
        case .byVector(.msix): 2
        case .byVector: 0
        case .byAddress: 255
        }
    }

    /// - Parameter number: as ``number``. By vector for any that isn't known.
    public init(number: UInt64) {
        switch number {
        case 1: self = .byVector(.msi)
        case 2: self = .byVector(.msix)
        case 255: self = .byAddress
        default: self = .byVector(nil)
        }
    }
}

extension Transport {
    public func notify(_ kind: InterruptKind) {}
    public func place(_ region: Int, at placement: BARPlacement?) {}
}
