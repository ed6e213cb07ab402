import Linux

/// What Xen, or the kernel on its behalf, refused.
public struct XenError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was tried.
    public let operation: String
    public let errno: Errno

    public init(_ operation: String, _ errno: Errno) {
        self.operation = operation
        self.errno = errno
    }

    public var description: String { "Xen refused \(operation): \(errno)." }
}

/// Runs one of CXen's calls, which report failure as `-errno`.
@discardableResult
func call(_ operation: @autoclosure () -> String, _ result: Int32) throws(XenError) -> Int32 {
    guard result >= 0 else { throw XenError(operation(), Errno(rawValue: -result)) }
    return result
}
