import CCredentials
import Linux
import Synchronization

extension RawClient {
    /// Connects as another user, which root may.
    ///
    /// - Parameter groups: the supplementary ones.
    public convenience init(path: String, user: UInt32, group: UInt32, groups: [UInt32] = []) throws(Errno) {
        let outcome = Mutex<Result<Int32, Errno>>(.failure(.noSuchProcess))
        let thread = try Thread(name: "another user") {
            let result = Result { () throws(Errno) -> Int32 in
                let error = credentials_become(user, group, groups, groups.count)
                guard error == 0 else { throw Errno(rawValue: -error) }
                return try UnixSocket(connectingTo: path).descriptor.duplicate().relinquish()
            }
            outcome.withLock { $0 = result }
        }
        thread.join()
        try self.init(UnixSocket(owning: Descriptor(owning: outcome.withLock { $0 }.get())))
    }
}
