import Glibc

/// Waits until at least one of several descriptors can be read without blocking, or its peer is gone. `poll(2)`
///
/// - Parameters:
///   - descriptors: their numbers; open for the time of the call.
///   - limit: how long to wait at most; nil: without end.
/// - Returns: for each of them whether it can; none when the time ran out or a signal came.
public func waitReadable(_ descriptors: [Int32], within limit: Duration?) throws(Errno) -> [Bool] {
    var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    try systemCall { poll(&entries, nfds_t(entries.count), limit.pollTimeout) }
    return entries.map { $0.revents != 0 }
}
