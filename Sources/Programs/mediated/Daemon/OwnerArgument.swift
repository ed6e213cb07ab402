import DaemonAPI
import Linux

extension VGPU.Owner {
    /// Reads `USER`, `USER:GROUP` or `:GROUP`, each a name or a number, as `chown(1)` does.
    ///
    /// - Throws: `Failure` for a name that nobody has.
    init(argument: String) throws(Failure) {
        let sides = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard sides.contains(where: { !$0.isEmpty }) else {
            throw Failure(.usage, "The owner is '\(argument)' but must be USER, USER:GROUP or :GROUP.")
        }
        self.init(user: nil, group: nil)
        if !sides[0].isEmpty {
            guard let number = UInt32(sides[0]) ?? Accounts.user(named: sides[0]) else {
                throw Failure(.usage, "There is no user '\(sides[0])'.")
            }
            user = number
        }
        if sides.count > 1, !sides[1].isEmpty {
            guard let number = UInt32(sides[1]) ?? Accounts.group(named: sides[1]) else {
                throw Failure(.usage, "There is no group '\(sides[1])'.")
            }
            group = number
        }
    }
}
