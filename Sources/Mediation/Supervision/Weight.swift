import Glibc

/// A vGPU's share of the processor, as far as the scheduler can give it to one process: its nice value, each step of which is
/// worth a quarter more or less. `sched(7)`
struct Weight: Equatable {
    /// 1 to 10000; 100 is everybody's.
    let value: Int

    init(_ value: Int) {
        self.value = value
    }

    /// -20 to 19.
    var nice: Int32 {
        Int32(max(-20, min(19, (-log(Double(max(1, value)) / 100) / log(1.25)).rounded())))
    }

    /// Applies it to every thread of a process. Only root can give more than everybody has, or more than there was.
    func apply(to process: Int32) {
        guard let folder = opendir("/proc/\(process)/task") else { return }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if let thread = id_t(name) { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), thread, nice) }
        }
    }
}
