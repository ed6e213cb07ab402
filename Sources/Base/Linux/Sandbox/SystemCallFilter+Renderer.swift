import CLinux
import Glibc

extension SystemCallFilter {
    /// What a renderer needs while it draws: what a device process does, and what graphics drivers do besides. No call
    /// takes a path but `readlink(2)`, and none makes a process or a connection.
    ///
    /// - Parameters:
    ///   - usesDevice: whether the driver talks to a graphics device.
    ///   - commands: of `ioctl(2)`, that are made where it doesn't.
    static func ofRenderer(usesDevice: Bool, commands: [UInt32] = []) -> SystemCallFilter {
        // Mesa compares descriptors by kcmp(2), and does without where it fails.
        let deadly = programs + otherProcesses.filter { $0 != __NR_kcmp } + kernel + fileSystems + wideInterfaces
        var allowed = messages + waiting + newDescriptors + descriptors + code + signals
        allowed += threads + newThreads + clocks + driver + end + older
        if usesDevice { allowed += device } else if !commands.isEmpty { allowed.append(ioctl(commands)) }
        return SystemCallFilter(deadly: deadly, missing: newThreadsByStructure, allowed: allowed)
    }

    /// A driver compiles shaders, and its code must be made executable. The host's reserved huge pages are for others.
    static let code = [
        Rule(__NR_mmap, .argument(3, hasNoneOf: MAP_HUGETLB)), Rule(__NR_mprotect), Rule(__NR_munmap),
        Rule(__NR_mremap), Rule(__NR_madvise), Rule(__NR_brk),
    ]

    /// A filter sees no flags that lie in memory, so threads are made by the call that has them in a register.
    static let newThreadsByStructure = [__NR_clone3]

    private static let newThreads = [
        Rule(__NR_clone, .argument(0, has: clinux_clone_thread)), Rule(__NR_set_robust_list), Rule(__NR_rseq),
        Rule(__NR_sigaltstack),
    ]

    /// How many processors there are, where a thread runs and what it is called, how long it sleeps. A thread pins none
    /// but itself, which it names by 0: any other may be another process's. Drivers do without.
    static let driver = [
        Rule(__NR_sched_getaffinity), Rule(__NR_sched_setaffinity, .argument(0, isOneOf: 0)), Rule(__NR_sched_getparam),
        Rule(__NR_sched_getscheduler), Rule(__NR_getcpu), Rule(__NR_sysinfo), Rule(__NR_uname),
        Rule(__NR_clock_nanosleep), Rule(__NR_nanosleep), Rule(__NR_clock_getres), Rule(__NR_getppid),
        Rule(__NR_prctl, .argument(0, isOneOf: PR_SET_NAME, PR_GET_NAME)), Rule(__NR_pipe2), Rule(__NR_dup),
    ]

    /// DRM is ioctl(2). Which of a driver's own commands there are, nobody else knows.
    static let device = [Rule(__NR_ioctl)]
}
