import Glibc

/// Waits until at least one of several descriptors can be read without blocking, or its peer is gone. `poll(2)`
///
/// - Parameters:
///   - descriptors: their numbers; open for the time of the call.
///   - milliseconds: how long to wait at most; negative: without end.
/// - Returns: for each of them whether it can; none when the time ran out or a signal came.
public func waitReadable(_ descriptors: [Int32], milliseconds: Int32) throws(Errno) -> [Bool] {
    var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    try systemCall { poll(&entries, nfds_t(entries.count), milliseconds) }
    return entries.map { $0.revents != 0 }
}
