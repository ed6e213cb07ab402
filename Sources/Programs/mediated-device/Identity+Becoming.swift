import Control
import Linux

extension DeviceArguments.Identity {
    /// Has the process be this user, of this group alone, for good.
    func become() throws(Failure) {
        do throws(Errno) {
            try Sandbox.become(user: user, group: group)
        } catch {
            throw Failure(Failure.Exit.noPermission, "Can't become user \(user) of group \(group): \(error).")
        }
    }
}
