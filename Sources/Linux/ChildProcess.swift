import CLinux
import Glibc

/// Starts other programs, and copies of this process.
public enum ChildProcess {
    /// The number of the descriptor that a program finds beside its standard ones.
    public static let passedDescriptor: Int32 = 3

    /// Starts a program, with this process's standard output and error, no input, and one descriptor more.
    ///
    /// - Parameters:
    ///   - program: its path, which is its name as well.
    ///   - descriptor: appears there as ``passedDescriptor``.
    /// - Returns: its process ID. `posix_spawn(3)`
    public static func spawn(
        _ program: String, _ arguments: [String], passing descriptor: borrowing Descriptor
    ) throws(Errno) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        // Where source and target are one, the call clears close-on-exec.
        posix_spawn_file_actions_adddup2(&actions, descriptor.raw, passedDescriptor)
        // SAFETY: the words are freed when the call has copied them.
        let words = ([program] + arguments).map { strdup($0) }
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let error = posix_spawn(&process, program, &actions, nil, words + [nil], environ)
        guard error == 0 else { throw Errno(rawValue: error) }
        return process
    }

    /// Continues twice from here. Only for a process with one thread, and none that the runtime has started.
    ///
    /// - Returns: the new process's ID; 0 in the new process. `fork(2)`
    public static func fork() throws(Errno) -> Int32 {
        try shim(clinux_fork())
    }

    /// A descriptor that becomes readable when a child ends. `pidfd_open(2)`
    public static func watch(_ process: Int32) throws(Errno) -> Descriptor {
        Descriptor(owning: try shim(clinux_pidfd(process)))
    }

    /// Ends a child at once and takes its status. `SIGKILL`, `waitpid(2)`
    public static func end(_ process: Int32) {
        kill(process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
    }
}
