import CLinux
import Glibc

extension SystemCallFilter {
    /// What a device process needs while it serves, and no more. Its calls were traced: each device, each message
    /// and each request, in builds for debugging and for use.
    ///
    /// No call takes a path but `readlink(2)`, and none makes a thread, a process, a socket to connect, or code.
    ///
    /// - Parameter commands: of `ioctl(2)`, that it has a use for.
    static func ofDevice(commands: [UInt32] = []) -> SystemCallFilter {
        SystemCallFilter(
            deadly: programs + otherProcesses + kernel + fileSystems + wideInterfaces,
            allowed: messages + waiting + newDescriptors + descriptors + memory + signals + threads + clocks + end
                + older + (commands.isEmpty ? [] : [Self.ioctl(commands)]))
    }

    // MARK: Allowed

    /// The hot path: what a client and the kernel's eventfds send, and what they are answered. preadv2 is a read that
    /// never waits.
    static let messages = [
        Rule(__NR_recvmsg), Rule(__NR_sendto), Rule(__NR_sendmsg), Rule(__NR_read), Rule(__NR_write),
        Rule(__NR_preadv2),
    ]

    /// The event loop and its sentry.
    ///
    /// The timers that interrupt this process's own threads: no signal of theirs can go elsewhere.
    static let waiting = [
        Rule(__NR_ppoll), Rule(__NR_epoll_pwait), Rule(__NR_epoll_ctl), Rule(__NR_timerfd_settime),
        Rule(__NR_timer_create), Rule(__NR_timer_settime), Rule(__NR_timer_delete), Rule(__NR_restart_syscall),
    ]

    /// What a client or a request makes necessary. Of sockets only pairs that are connected to each other and stay so:
    /// a client's second connection, a renderer. Not of SOCK_DGRAM, with which each message may go to another path.
    static let newDescriptors = [
        Rule(__NR_accept4), Rule(__NR_eventfd2), Rule(__NR_timerfd_create),
        Rule(__NR_memfd_create, .argument(1, isOneOf: Int32(MFD_CLOEXEC | MFD_ALLOW_SEALING))),
        Rule(
            __NR_socketpair, .argument(0, isOneOf: AF_UNIX),
            .argument(
                1,
                isOneOf: Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue),
                Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue))),
    ]

    /// What is done with descriptors that are open. The one option that is set says whether a peer may send
    /// descriptors. F_SETOWN is not among the commands: it would send signals to other processes of the same user.
    /// readlinkat is how a peer's eventfd is known for one (/proc/self/fd); it tells where a symbolic link leads, and
    /// opens nothing. statx tells a file's kind without waiting for the server of its file system; it opens nothing
    /// either.
    static let descriptors = [
        Rule(__NR_close), Rule(__NR_fstat), Rule(__NR_lseek), Rule(__NR_ftruncate), Rule(__NR_fallocate),
        Rule(__NR_shutdown), Rule(__NR_getsockopt), Rule(__NR_readlinkat),
        Rule(__NR_statx, .argument(2, isOneOf: clinux_statx_open_file)),
        Rule(
            __NR_setsockopt, .argument(1, isOneOf: SOL_SOCKET), .argument(2, isOneOf: clinux_so_passrights)),
        Rule(__NR_fcntl, .argument(1, isOneOf: descriptorCommands)),
    ]

    /// Of fcntl(2).
    static let descriptorCommands = [
        F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, clinux_get_seals, clinux_add_seals,
    ]

    /// Commands of a few devices that are open, such as a hypervisor's. Which there are, who speaks to them knows.
    static func ioctl(_ commands: [UInt32]) -> Rule {
        Rule(__NR_ioctl, Condition(argument: 1, test: .isOneOf(commands)))
    }

    /// Guests' memory and our own. Nothing is ever mapped, or made, executable.
    static let memory = [
        Rule(__NR_mmap, .argument(2, hasNoneOf: PROT_EXEC)),
        Rule(__NR_mprotect, .argument(2, hasNoneOf: PROT_EXEC)),
        Rule(__NR_munmap), Rule(__NR_mremap), Rule(__NR_madvise), Rule(__NR_brk),
    ]

    /// The guard round copies of guest memory (SIGBUS), the sentry's interruption, and `abort(3)`: signals to this
    /// process alone.
    static var signals: [Rule] {
        [
            Rule(__NR_rt_sigaction), Rule(__NR_rt_sigprocmask), Rule(__NR_rt_sigreturn),
            Rule(__NR_tgkill, .argument(0, isOneOf: getpid())),
        ]
    }

    /// Between the threads that there are; and getrandom, for guests and for the hashing of Swift's dictionaries.
    static let threads = [
        Rule(__NR_futex), Rule(__NR_sched_yield), Rule(__NR_getpid), Rule(__NR_gettid), Rule(__NR_getrandom),
    ]

    /// Where the kernel doesn't lend its clocks to the process (vDSO).
    static let clocks =
        [Rule(__NR_clock_gettime)]
        // A thread of ThreadSanitizer's own may begin after the filter: where it can't register with the kernel, glibc
        // ends the process. It sleeps, and looks at the time: refused, it would take a processor.
        + (ResourceLimit.isSanitized
            ? [Rule(__NR_rseq), Rule(__NR_set_robust_list), Rule(__NR_nanosleep), Rule(__NR_gettimeofday)] : [])

    static let end =
        [Rule(__NR_exit), Rule(__NR_exit_group)]
        // AddressSanitizer gives back its stack for signals at the end, and aborts where it can't.
        + (ResourceLimit.isSanitized ? [Rule(__NR_sigaltstack)] : [])

    /// Calls that x86-64 has besides the newer ones above, which architectures after it have alone. glibc prefers
    /// these where they exist.
    static var older: [Rule] {
        #if arch(x86_64)
            [Rule(__NR_poll), Rule(__NR_epoll_wait), Rule(__NR_readlink)]
        #else
            []
        #endif
    }

    // MARK: Deadly

    static let programs = [__NR_execve, __NR_execveat]

    /// Their memory, their descriptors, their course.
    static let otherProcesses = [
        __NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev, __NR_process_madvise, __NR_pidfd_getfd, __NR_kcmp,
    ]

    /// Its modules and programs, its restart, its log.
    static let kernel = [
        __NR_init_module, __NR_finit_module, __NR_delete_module, __NR_kexec_load, __NR_bpf, __NR_reboot, __NR_syslog,
        __NR_settimeofday, __NR_clock_settime, __NR_acct, __NR_swapon, __NR_swapoff,
    ]

    /// Other views of the file system, and ways to its files that pass by their names.
    static let fileSystems = [
        __NR_mount, __NR_umount2, __NR_pivot_root, __NR_chroot, __NR_move_mount, __NR_open_tree, __NR_fsopen,
        __NR_fsmount, __NR_setns, __NR_unshare, __NR_open_by_handle_at, __NR_name_to_handle_at,
    ]

    /// Interfaces that are large, that mistakes in the kernel are found in, and that no library calls by itself.
    static let wideInterfaces = [
        __NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register, __NR_userfaultfd, __NR_perf_event_open,
        __NR_add_key, __NR_request_key, __NR_keyctl, __NR_fanotify_init, __NR_personality,
    ]
}
