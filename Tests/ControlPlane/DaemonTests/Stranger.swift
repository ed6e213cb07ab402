import CCredentials
import Linux
import Synchronization

/// Runs `body` as user and group 65534, who are nobody's; only root can.
func asStranger<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
    let outcome = Mutex<Result<Value, any Error>>(.failure(Errno.noSuchProcess))
    let thread = try Thread(name: "stranger") {
        let result = Result {
            let error = credentials_become(65534, 65534, [], 0)
            guard error == 0 else { throw Errno(rawValue: -error) }
            return try body()
        }
        outcome.withLock { $0 = result }
    }
    thread.join()
    return try outcome.withLock { $0 }.get()
}
