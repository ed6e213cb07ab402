import Linux

/// What KVM refused.
public struct KVMError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The ioctl's name, or what else was tried.
    public let operation: String
    public let errno: Errno

    public init(_ operation: String, _ errno: Errno) {
        self.operation = operation
        self.errno = errno
    }

    public var description: String { "KVM refused \(operation): \(errno)." }
}

/// Runs one of CKVM's calls, which report failure as `-errno`.
@discardableResult
func call(_ operation: String, _ result: Int32) throws(KVMError) -> Int32 {
    guard result >= 0 else { throw KVMError(operation, Errno(rawValue: -result)) }
    return result
}
