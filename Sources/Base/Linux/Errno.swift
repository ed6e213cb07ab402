import CLinux
import Glibc
import SystemPackage

/// The error of a system call, `errno(3)`. Every call of this module throws it.
public typealias Errno = SystemPackage.Errno

extension Errno {
    /// The error that `errno` holds now.
    @usableFromInline static var current: Errno { Errno(rawValue: errno) }
}

/// Runs a system call that reports failure as -1 and `errno`, again after EINTR.
///
/// - Returns: what the call returned, never negative.
/// - Throws: the call's error.
@discardableResult
@inlinable
func systemCall<Result: FixedWidthInteger>(_ call: () -> Result) throws(Errno) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        let error = Errno.current
        if error != .interrupted { throw error }
    }
}

/// Runs one of CLinux's calls, which report failure as `-errno`. EINTR is thrown, not retried:
/// whoever blocks in one of them decides what an interruption means.
@discardableResult
@inlinable
func shim<Result: FixedWidthInteger & SignedInteger>(_ result: Result) throws(Errno) -> Result {
    if result >= 0 { return result }
    throw Errno(rawValue: Int32(-result))
}
