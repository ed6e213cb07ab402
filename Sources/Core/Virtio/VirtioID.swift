import PCI

/// A kind of virtio device: its number, and the class code of its PCI function. VIRTIO 1.2, section 5.
public struct VirtioID: Hashable, Sendable {
    /// The virtio device ID; the PCI device ID is 0x1040 more.
    public let number: UInt16
    public let classCode: PCIClass

    /// - Parameter number: 1 to 63.
    public init(_ number: UInt16, class classCode: PCIClass) {
        self.number = number
        self.classCode = classCode
    }

    /// Section 5.4.
    public static let entropy = VirtioID(4, class: .unclassified)
    /// Section 5.7.
    public static let gpu = VirtioID(16, class: .displayOther)

    public static func == (left: VirtioID, right: VirtioID) -> Bool { left.number == right.number }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(number)
    }
}
