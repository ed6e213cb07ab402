import CLinux
import Synchronization

/// A value that belongs to one thread at a time: a `Mutex` that ThreadSanitizer knows of.
///
/// Swift's library is not instrumented, so the sanitizer takes what two threads do in the bodies of a Mutex for a race.
/// A suppression doesn't help in a confined process: to know the function's name the sanitizer would have to start a
/// program.
public final class Locked<Value: ~Copyable>: Sendable {
    private let mutex: Mutex<Value>

    public init(_ value: consuming sending Value) {
        mutex = Mutex(value)
    }

    /// Calls `body` with the value, which nobody else has meanwhile.
    public func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock { (value: inout sending Value) throws(Failure) in
            // SAFETY: nothing is done with the address but to tell locks apart.
            let lock = Unmanaged.passUnretained(self).toOpaque()
            clinux_lock_taken(lock)
            defer { clinux_lock_is_released(lock) }
            return try body(&value)
        }
    }
}

extension Locked {
    /// Takes the value out, if there is one: none is there afterwards.
    public func take<Wrapped>() -> sending Wrapped? where Value == Wrapped? {
        withLock { value in
            let taken = value
            value = nil
            return taken
        }
    }
}
