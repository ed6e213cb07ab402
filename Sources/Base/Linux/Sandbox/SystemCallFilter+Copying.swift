import CLinux
import Glibc

extension SystemCallFilter {
    /// What a process needs that copies between files that are open, and no more. No call takes a path or makes a
    /// descriptor.
    static var ofCopying: SystemCallFilter {
        SystemCallFilter(
            deadly: programs + otherProcesses + kernel + fileSystems + wideInterfaces,
            allowed: files + memory + signals + threads + clocks + end)
    }

    private static let files = [
        Rule(__NR_read), Rule(__NR_write), Rule(__NR_pread64), Rule(__NR_lseek), Rule(__NR_fstat),
        Rule(__NR_ftruncate), Rule(__NR_fsync), Rule(__NR_close), Rule(__NR_fcntl, .argument(1, isOneOf: F_GETFL)),
    ]
}
