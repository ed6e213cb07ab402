import Device

/// What a virtio device does behind its queues. ``VirtioFunction`` makes a PCI function of it: the handshake, the
/// queues, the interrupts and the saved state of all these are the transport's work.
///
/// What only some devices have (`DisplayDevice`, `LimitedDevice`, `MonitorDevice`, `MemoryKeepingDevice`) it conforms
/// to beside this.
///
/// Every method runs on the device's one thread. What lies in the buffers is written by the guest, and hostile.
/// Virtual I/O Device (VIRTIO) Version 1.2, sections 2 and 5.
public protocol VirtioDevice: Stateful, AnyObject {
    /// What the device needs to go on elsewhere, but for its queues. Complete at the end of every method.
    associatedtype State: Codable & Sendable

    /// Name, description and options; those of the transport, `packed` and `event-index`, are added to them.
    static var type: DeviceType { get }
    static var id: VirtioID { get }

    /// Makes a device in its power-on state.
    ///
    /// - Parameters:
    ///   - options: checked against the options that ``type`` declares.
    ///   - port: lives as long as the device, which may keep it `unowned` or strongly: the port doesn't keep the
    ///     device.
    /// - Throws: `OptionError` for values that don't fit together, `Errno` when the system refuses
    ///   memory or descriptors.
    init(options: DeviceOptions, port: VirtioPort) throws

    /// The device's own feature bits, 0 to 23 and 50 to 63. Always the same.
    var features: UInt64 { get }
    /// The maximum size of each queue, by its index: a power of two from 1 to 1024. Always the same.
    var queueSizes: [Int] { get }
    /// Memory that the guest maps; none unless declared. Always the same.
    var sharedMemory: VirtioSharedMemory? { get }
    /// The device configuration structure as it reads now, little-endian; always of the same length, at most 4096
    /// bytes. ``VirtioPort/configurationChanged()`` tells the guest of a change.
    var configuration: [UInt8] { get }

    /// The driver has written `bytes`, 1, 2, 4 or 8 of them, at `offset` of the device configuration structure.
    func writeConfiguration(_ bytes: RawSpan, at offset: Int)

    /// There may be buffers in a queue: take them by ``VirtioPort/pop(_:)`` until it returns nil, or for as long as
    /// there is use for them. A buffer whose memory isn't there yet comes once more: act on what was read of a
    /// ``Chain`` only if it ``Chain/isInFlight`` then.
    ///
    /// Called again when the driver has added buffers to a queue whose end was reached, and when memory has come that a
    /// queue waits for; so a device that stops before the end goes on by itself.
    func process(_ queue: Int)

    /// Back to the power-on state: the driver, or the PCI function's reset, has reset the device. The queues are
    /// stopped, and no chain is in flight any more.
    func reset()

    /// The driver has reset one queue: its chains are not in flight any more. `VIRTIO_F_RING_RESET`
    func resetQueue(_ queue: Int)

    /// The device is to stand still, or to go on. While it stands still it touches neither chains nor guest memory, and
    /// gives no chain back.
    func setRunning(_ running: Bool)

    /// As `Device.requireSavable()`.
    func requireSavable() throws(StateError)

    var state: State { get }

    /// Goes on from a state that a device of this type, with the same options, had. The transport's own state,
    /// negotiated features included, follows when this returns. Then ``process(_:)`` is called for every queue, and
    /// ``VirtioPort/pop(_:)`` gives the chains that were in flight once more, in their order and with the same
    /// ``Chain/id``, before new ones.
    ///
    /// - Throws: `StateError` when the values can't be a state of this device; it is unchanged then.
    func restore(_ state: State) throws(StateError)
}

extension VirtioDevice {
    public var features: UInt64 { 0 }
    public var configuration: [UInt8] { [] }
    public func writeConfiguration(_ bytes: RawSpan, at offset: Int) {}
    public func resetQueue(_ queue: Int) {}
    public func setRunning(_ running: Bool) {}
    public func requireSavable() throws(StateError) {}
    public var sharedMemory: VirtioSharedMemory? { nil }
}
