import CLinux
import Glibc

/// Starts other programs, and copies of this process.
public enum ChildProcess {
    /// The number that the first of the passed descriptors has in a program; the others follow.
    public static let firstDescriptor: Int32 = 3

    /// Starts a program with no input, and descriptors of its own: no other goes along, those among them that this
    /// process was given itself and that stay open in programs.
    ///
    /// - Parameters:
    ///   - program: its path, which is its name as well.
    ///   - descriptors: appear there from ``firstDescriptor`` on, in their order.
    ///   - withheld: variables of this process's environment that are not its own.
    ///   - standardError: its standard error and output; this process's unless given.
    ///   - isDetached: whether it has nothing of this process's terminal or log: it gets a session of its own,
    ///     `setsid(2)`, and
    ///     its standard output is its standard error.
    /// - Returns: its process ID. `posix_spawn(3)`
    public static func spawn(
        _ program: String, _ arguments: [String], passing descriptors: [Int32], without withheld: Set<String> = [],
        standardError: Int32? = nil, isDetached: Bool = false
    ) throws(Errno) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        if let standardError { posix_spawn_file_actions_adddup2(&actions, standardError, STDERR_FILENO) }
        if isDetached || standardError != nil {
            posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
        }
        // Out of the way of the numbers that they get, so that none is overwritten before it is copied.
        let limit = firstDescriptor + Int32(descriptors.count)
        var copies: [Int32] = []
        defer { for copy in copies { close(copy) } }
        for (index, source) in descriptors.enumerated() {
            let copy = try systemCall { fcntl(source, F_DUPFD_CLOEXEC, limit) }
            copies.append(copy)
            posix_spawn_file_actions_adddup2(&actions, copy, firstDescriptor + Int32(index))
        }
        // What whoever started this process has left open is nobody's business there.
        clinux_spawn_closes_from(&actions, limit)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK) | (isDetached ? setSession : 0))
        // SAFETY: the words are freed when the call has copied them.
        let words = ([program] + arguments).map { strdup($0) }
        let variables = environment(without: withheld).map { strdup($0) }
        defer { for word in words + variables { free(word) } }
        var process: pid_t = 0
        let error = posix_spawn(&process, program, &actions, &attributes, words + [nil], variables + [nil])
        guard error == 0 else { throw Errno(rawValue: error) }
        return process
    }

    /// This process's environment, as `NAME=VALUE`.
    private static func environment(without withheld: Set<String>) -> [String] {
        var variables: [String] = []
        var next = environ
        // SAFETY: a list of strings, behind the last of which is a null pointer. Nobody changes it in a process that
        // starts others.
        while let variable = next.pointee {
            let text = String(cString: variable)
            if !withheld.contains(String(text.prefix { $0 != "=" })) { variables.append(text) }
            next += 1
        }
        return variables
    }

    /// POSIX_SPAWN_SETSID, which is a macro behind _GNU_SOURCE. `<spawn.h>`
    private static let setSession: Int16 = 0x80

    /// Continues twice from here. Only for a process with one thread, and none that the runtime has started.
    ///
    /// - Returns: the new process's ID; 0 in the new process. `fork(2)`
    public static func fork() throws(Errno) -> Int32 {
        try shim(clinux_fork())
    }

    /// Has the kernel kill this process, which ``fork()`` has made, when its parent ends. `PR_SET_PDEATHSIG`
    ///
    /// - Parameter parent: the parent's process ID.
    /// - Throws: `.noSuchProcess` when the parent has ended already.
    public static func dieWith(parent: Int32) throws(Errno) {
        try shim(clinux_die_with_parent())
        guard getppid() == parent else { throw .noSuchProcess }
    }

    /// Becomes another program, with no input and one descriptor that is ``firstDescriptor`` there; others go along that
    /// are not close-on-exec. `execve(2)`
    ///
    /// - Returns: only with what keeps the kernel from it.
    public static func become(_ program: String, _ arguments: [String], passing descriptor: Int32) -> Errno {
        let empty = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard empty >= 0, dup2(empty, STDIN_FILENO) >= 0 else { return .current }
        guard descriptor != firstDescriptor else { return .invalidArgument }
        guard dup2(descriptor, firstDescriptor) >= 0 else { return .current }
        let words = ([program] + arguments).map { strdup($0) }
        execv(program, words + [nil])
        return .current
    }

    /// Has this process be the parent of all whose own parent has ended, of those that come from it: what it ends, it
    /// can wait for. `PR_SET_CHILD_SUBREAPER`
    public static func adoptOrphans() throws(Errno) {
        try shim(clinux_adopt_orphans())
    }

    /// Gives a child, and all that it will start, a group of their own. To be called by both, so that it is done whoever
    /// is first. `setpgid(2)`
    ///
    /// - Parameter process: 0: the calling process.
    public static func makeGroup(of process: Int32) {
        setpgid(process, process)
    }

    /// Ends a child that has a group of its own, and all that are in it, at once; waits until they have ended, and takes
    /// the child's status. The calling process has to adopt orphans. `SIGKILL`
    ///
    /// - Returns: the signal that has ended the child, which may have been another one before; nil when it had ended by
    ///   itself.
    @discardableResult
    public static func endGroup(of process: Int32) -> Int32? {
        kill(process, SIGKILL)
        kill(-process, SIGKILL)
        let signal = awaitEnd(of: process)
        while waitpid(-process, nil, 0) > 0 || errno == EINTR {}
        return signal
    }

    /// Ends a child at once and takes its status. `SIGKILL`
    ///
    /// - Returns: the signal that has ended it, which may have been another one before; nil when it had ended by
    ///   itself.
    @discardableResult
    public static func end(_ process: Int32) -> Int32? {
        kill(process, SIGKILL)
        return awaitEnd(of: process)
    }

    /// Waits until a child has ended, and takes its status: from then on nothing of it is left. `waitpid(2)`
    ///
    /// - Returns: the signal that has ended it; nil when it ended by itself.
    public static func awaitEnd(of process: Int32) -> Int32? {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        return signal == 0 ? nil : signal
    }
}
