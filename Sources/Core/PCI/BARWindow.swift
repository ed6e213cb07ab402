/// Registers in a vendor-specific capability through which software that can't map BARs, such as firmware, reaches them
/// all the same: it says where, and each access to the data is one to the BAR. VIRTIO 1.2, section 4.1.4.9
/// (`virtio_pci_cfg_cap`).
///
/// As declared, places are in bytes from the capability's beginning; ``ConfigurationSpace/window`` has them from that
/// of configuration space. A function has at most one window.
public struct BARWindow: Equatable, Sendable {
    /// The number of the BAR, one byte.
    public var bar: Int
    /// Where in the BAR, four bytes.
    public var offset: Int
    /// How many bytes an access has, four bytes.
    public var length: Int
    /// Four bytes, of which an access uses the first ones.
    public var data: Int

    public init(bar: Int, offset: Int, length: Int, data: Int) {
        self.bar = bar
        self.offset = offset
        self.length = length
        self.data = data
    }

    /// What one access through a window reaches.
    public struct Target: Equatable, Sendable {
        /// As written: there may be no such BAR.
        public var bar: Int
        public var offset: UInt64
        /// 1, 2 or 4 bytes; the offset is a multiple.
        public var count: Int

        public init(bar: Int, offset: UInt64, count: Int) {
            self.bar = bar
            self.offset = offset
            self.count = count
        }
    }

    func moved(by distance: Int) -> BARWindow {
        BARWindow(bar: bar + distance, offset: offset + distance, length: length + distance, data: data + distance)
    }

    var fields: [Range<Int>] { [bar..<bar + 1, offset..<offset + 4, length..<length + 4, data..<data + 4] }

    var registers: [ConfigurationSpace.Register] {
        [
            .init("Window BAR", at: bar, .byte, writable: 0xff),
            .init("Window Offset", at: offset, .dword, writable: .max),
            .init("Window Length", at: length, .dword, writable: .max),
            .init("Window Data", at: data, .dword, writable: .max),
        ]
    }
}

extension ConfigurationSpace {
    /// What an access to configuration space reaches through the window; nil when it doesn't touch the data, or the
    /// window is not set up.
    ///
    /// - Parameter count: in bytes, from `position` on.
    public func windowTarget(at position: Int, count: Int) -> BARWindow.Target? {
        guard let window, position < window.data + 4, count > window.data - position else { return nil }
        let offset = load(window.offset, as: UInt32.self)
        let length = load(window.length, as: UInt32.self)
        guard [1, 2, 4].contains(length), offset % length == 0 else { return nil }
        return BARWindow.Target(bar: Int(bytes[window.bar]), offset: UInt64(offset), count: Int(length))
    }

    /// The window's data: what was written, or what the next read gives.
    public var windowData: UInt32 {
        get { window.map { load($0.data, as: UInt32.self) } ?? 0 }
        set {
            if let window { drive(window.data, mask: .max, to: newValue) }
        }
    }
}
