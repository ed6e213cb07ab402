import PCI

/// What a function in a guest's slot needs of whoever has the guest.
public protocol Guest: AnyObject {
    func send(_ message: MSIMessage) throws(XenError)
    func set(_ pin: InterruptPin, ofDevice device: UInt8, asserted: Bool) throws(XenError)
    /// Takes frames of the guest's memory elsewhere.
    func move(_ count: UInt32, framesFrom from: UInt64, to: UInt64) throws(XenError)
}
