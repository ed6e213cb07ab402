import CLinux
import SystemPackage

/// Copies from and to memory that another process can take away under our hands: where a plain
/// access would end the process with SIGBUS, these throw EFAULT.
public enum GuardedCopy {
    /// Installs the SIGBUS handler. Called by whatever maps foreign files; costs nothing the
    /// second time.
    public static func install() {
        clinux_install_fault_guard()
    }

    /// Copies `count` bytes. Aligned copies of 2, 4 and 8 bytes are single accesses with
    /// acquire and release order, as rings shared with a guest need them.
    ///
    /// - Throws: `.badAddress` when either side faulted; part of the bytes may be copied then.
    @inlinable
    public static func copy(
        to: UnsafeMutableRawPointer, from: UnsafeRawPointer, count: Int
    ) throws(Errno) {
        // SAFETY: the caller vouches for both ranges being mapped addresses of `count` bytes; that
        // their pages are still there is what the guard checks.
        if clinux_copy(to, from, count) != 0 { throw .badAddress }
    }
}
