import Device
import JSON
import Linux

/// Whoever brings one function its clients and their accesses: a server of vfio-user, say, or what attaches to a
/// hypervisor. All calls come on one thread.
protocol FunctionServer: AnyObject {
    /// What is served.
    var function: Function { get }
    /// Whether a client, such as a virtual machine, is there.
    var hasClient: Bool { get }
    /// What was done since the beginning, by name.
    var counters: JSON.Object { get }

    /// Serves on the calling thread until ``stop()``.
    ///
    /// - Throws: `Errno` when the system refuses to wait. A client's errors end only what is its own.
    func run() throws(Errno)

    /// Makes ``run()`` return after the access in hand.
    func stop()
}
