import CLinux
import Glibc

/// A thread of the operating system. `pthread_create(3)`
public final class Thread: Sendable {
    private let handle: pthread_t
    private let isJoined = Locked(false)

    /// Starts `body` on a new thread, and returns when that runs: what a thread does before, a filter of system calls
    /// that is installed next might forbid.
    ///
    /// - Parameters:
    ///   - name: shown by `ps -T`; at most 15 bytes are kept.
    ///   - stackSize: in bytes. Only what is used takes memory.
    /// - Throws: `.resourceTemporarilyUnavailable` when no thread can be had.
    public init(name: String, stackSize: Int = 1 << 20, _ body: @escaping @Sendable () -> Void) throws(Errno) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackSize)
        var handle = pthread_t()
        let start = Body(name: name, run: body)
        // SAFETY: the box is retained here and released by the new thread, or below when there is none.
        let box = Unmanaged.passRetained(start)
        let error = pthread_create(
            &handle, &attributes,
            { argument in
                let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
                clinux_name_thread(body.name)
                sem_post(body.running)
                body.run()
                return nil
            }, box.toOpaque())
        guard error == 0 else {
            box.release()
            throw Errno(rawValue: error)
        }
        self.handle = handle
        withExtendedLifetime(start) {
            while sem_wait(start.running) < 0, errno == EINTR {}
        }
    }

    /// The kernel's thread goes on; without this its stack would stay when it ends.
    deinit {
        if !isJoined.withLock({ $0 }) { pthread_detach(handle) }
    }

    /// Waits until the thread has ended. To be called once.
    public func join() {
        isJoined.withLock { $0 = true }
        pthread_join(handle, nil)
    }

    private final class Body: Sendable {
        let name: String
        /// Needs no descriptor: there may be none left, and the thread be the one that closes some. ``ClosingLane``
        ///
        /// SAFETY: both threads hold the body while they use it, and semaphores are made for several threads.
        nonisolated(unsafe) let running: UnsafeMutablePointer<sem_t>
        let run: @Sendable () -> Void

        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            running = .allocate(capacity: 1)
            sem_init(running, 0, 0)
            self.run = run
        }

        deinit {
            sem_destroy(running)
            running.deallocate()
        }
    }
}
