import Glibc
import Linux
import Programs
import Testing

@Suite struct FileLockTests {
    @Test func aLockHasOneOwnerAtATime() throws {
        let path = temporaryPath("lock")
        defer { unlink(path) }
        do {
            let lock = try FileLock(path: path)
            #expect(throws: Errno.wouldBlock) { _ = try FileLock(path: path) }
            // Who failed has taken nothing away.
            #expect(throws: Errno.wouldBlock) { _ = try FileLock(path: path) }
            withExtendedLifetime(lock) {}
        }
        _ = try FileLock(path: path)
    }

    @Test func aPlaceThatTakesNoFileIsRefused() {
        #expect(throws: Errno.noSuchFileOrDirectory) { _ = try FileLock(path: "/nowhere/lock") }
        #expect(throws: Errno.isDirectory) { _ = try FileLock(path: "/tmp") }
    }
}
