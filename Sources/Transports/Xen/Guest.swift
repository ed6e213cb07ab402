import CXen
import PCI

/// What a function in a guest's slot needs of whoever routes the guest's accesses.
public protocol AccessRouter: AnyObject {
    /// Has accesses sent here from now on.
    func claim(_ claim: RequestServer.Claim) throws(XenError)
    func release(_ claim: RequestServer.Claim) throws(XenError)
    /// Notes where all of a function is, for a process that goes on with it when this one was killed.
    func note(_ record: SlotRecord)
}

/// What a function in a guest's slot needs of whoever has the guest.
public protocol Guest: AnyObject {
    func send(_ message: MSIMessage) throws(XenError)
    func set(_ pin: InterruptPin, ofDevice device: UInt8, asserted: Bool) throws(XenError)
    /// Takes frames of the guest's memory elsewhere.
    func move(_ count: UInt32, framesFrom from: UInt64, to: UInt64) throws(XenError)
}
