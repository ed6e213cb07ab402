import CLinux
import Glibc

extension SystemCallFilter {
    /// What virglrenderer's render server and its processes need: what a renderer does, and making processes, opening
    /// files and loading libraries besides. Which files, Landlock knows.
    ///
    /// - Parameter usesDevice: whether the drivers talk to a graphics device.
    static func ofRenderServer(usesDevice: Bool) -> SystemCallFilter {
        let deadly = otherProcesses.filter { $0 != __NR_kcmp } + kernel + fileSystems + wideInterfaces
        var allowed = messages + waiting + descriptorsOfServer + code + threads + clocks + driver + end + older
        allowed += processes + files + identity + olderOfServer
        allowed += usesDevice ? device : [ioctl([clinux_udmabuf_create, clinux_dma_buf_sync])]
        return SystemCallFilter(deadly: deadly, missing: newThreadsByStructure, allowed: allowed)
    }

    /// Processes and threads, the program that the first of them becomes, and signals: between them alone by Landlock
    /// from Linux 6.12 on.
    private static let processes = [
        Rule(__NR_clone, .argument(0, hasNoneOf: clinux_clone_namespaces)), Rule(__NR_execve), Rule(__NR_wait4),
        Rule(__NR_waitid), Rule(__NR_kill), Rule(__NR_tgkill), Rule(__NR_rt_sigaction), Rule(__NR_rt_sigprocmask),
        Rule(__NR_rt_sigreturn), Rule(__NR_signalfd4), Rule(__NR_set_robust_list), Rule(__NR_rseq),
        Rule(__NR_sigaltstack), Rule(__NR_set_tid_address), Rule(__NR_futex_waitv), Rule(__NR_membarrier),
    ]

    /// Looking for files, and opening them. None is made.
    private static let files = [
        Rule(__NR_openat, .argument(2, hasNoneOf: O_CREAT | O_TRUNC)), Rule(__NR_newfstatat), Rule(__NR_statx),
        Rule(__NR_faccessat), Rule(__NR_faccessat2), Rule(__NR_readlinkat), Rule(__NR_getdents64), Rule(__NR_getcwd),
        Rule(__NR_pread64), Rule(__NR_readv), Rule(__NR_writev), Rule(__NR_statfs), Rule(__NR_fstatfs),
        Rule(__NR_fadvise64), Rule(__NR_flock),
    ]

    /// No socket but pairs, as in a renderer; and no new ones by accept4(2), of which there is nothing to accept. Nor may it
    /// take the host's reserved huge pages.
    private static let descriptorsOfServer = [
        Rule(__NR_close), Rule(__NR_close_range), Rule(__NR_fstat), Rule(__NR_lseek), Rule(__NR_ftruncate),
        Rule(__NR_fallocate), Rule(__NR_shutdown), Rule(__NR_getsockopt), Rule(__NR_dup3),
        Rule(__NR_fcntl, .argument(1, isOneOf: [F_DUPFD] + descriptorCommands)), Rule(__NR_eventfd2),
        Rule(__NR_timerfd_create), Rule(__NR_memfd_create, .argument(1, hasNoneOf: Int32(MFD_HUGETLB))),
        Rule(__NR_epoll_create1),
        Rule(
            __NR_socketpair, .argument(0, isOneOf: AF_UNIX),
            .argument(
                1,
                isOneOf: Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue),
                Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue))),
        Rule(__NR_recvfrom),
    ]

    /// Who it is, what it may, and what it belongs to: no call changes any of it. prlimit64 raises no limit, and would
    /// lower those of every process of the same user: so it is for the caller's own alone, which it names by 0.
    private static let identity = [
        Rule(__NR_getuid), Rule(__NR_geteuid), Rule(__NR_getgid), Rule(__NR_getegid),
        Rule(__NR_prlimit64, .argument(0, isOneOf: 0)),
        Rule(__NR_getpriority), Rule(__NR_getpgrp), Rule(__NR_getrusage), Rule(__NR_times), Rule(__NR_sched_getattr),
        Rule(__NR_sched_get_priority_max), Rule(__NR_sched_get_priority_min),
    ]

    private static var olderOfServer: [Rule] {
        #if arch(x86_64)
            [
                Rule(__NR_open, .argument(1, hasNoneOf: O_CREAT | O_TRUNC)), Rule(__NR_stat), Rule(__NR_lstat),
                Rule(__NR_access), Rule(__NR_fork), Rule(__NR_vfork), Rule(__NR_dup2), Rule(__NR_pipe),
                Rule(__NR_arch_prctl), Rule(__NR_time), Rule(__NR_eventfd),
            ]
        #else
            []
        #endif
    }
}
