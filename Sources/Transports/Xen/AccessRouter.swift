/// What a function in a guest's slot needs of whoever routes the guest's accesses.
public protocol AccessRouter: AnyObject {
    /// Has accesses sent here from now on.
    func claim(_ claim: RequestServer.Claim) throws(XenError)
    func release(_ claim: RequestServer.Claim) throws(XenError)
    /// Notes where all of a function is, for a process that goes on with it when this one was killed.
    func note(_ record: SlotRecord)
}
