import Glibc
import Linux

/// Waits until something has come true that others make true by what they do in a folder. `inotify(7)`
///
/// - Parameter isTrue: asked at first, and after each file there that is made, renamed, removed, or written to.
/// - Throws: ``NeverTrue``, or the error that keeps the folder from being watched.
public func awaitChanges(in folder: String, until isTrue: () throws -> Bool) throws {
    let watch = Descriptor(owning: inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK)))
    let changes = UInt32(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MODIFY)
    guard inotify_add_watch(watch.raw, folder, changes) >= 0 else { throw Errno(rawValue: errno) }
    let deadline = Deadline(after: NeverTrue.limit)
    while try !isTrue() {
        guard try waitReadable([watch.raw], within: deadline.left) == [true] else { throw NeverTrue() }
        _ = try watch.readOnce(upTo: 1 << 16)
    }
}
