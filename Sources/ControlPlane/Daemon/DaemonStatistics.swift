import Control
import Glibc
import Linux
import Metrics

/// What the daemon counts of itself.
final class DaemonStatistics: Sendable {
    let process = getpid()
    let user = geteuid()
    private let start = SystemClock.secondsSinceEpoch
    private let responses = Locked<[Int: UInt64]>([:])

    var uptimeSeconds: Double { max(0, SystemClock.secondsSinceEpoch - start) }

    func countResponse(status: Int) {
        responses.withLock { $0[status, default: 0] += 1 }
    }

    /// By the names that Prometheus' own libraries give what every process has.
    var families: [MetricFamily] {
        let responses = responses.withLock { $0 }.sorted { $0.key < $1.key }
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return [
            MetricFamily(
                "mediated_daemon_info", help: "The daemon's version; always 1.",
                .gauge([Metric([MetricLabel("version", Version.current)], 1)])),
            MetricFamily(
                "mediated_daemon_responses_total", help: "Answers to requests, by HTTP status.",
                .counter(responses.map { Metric([MetricLabel("status", "\($0.key)")], Double($0.value)) })),
            MetricFamily(
                "process_cpu_seconds_total", help: "Processor time that the daemon has taken.",
                .counter([Metric([], seconds(usage.ru_utime) + seconds(usage.ru_stime))])),
            MetricFamily(
                "process_start_time_seconds", help: "When the daemon was started, since 1970-01-01 00:00 UTC.",
                .gauge([Metric([], start)])),
            MetricFamily(
                "process_resident_memory_bytes", help: "Memory that the daemon takes.",
                .gauge(Self.residentBytes.map { [Metric([], Double($0))] } ?? [])),
            MetricFamily(
                "process_open_fds", help: "Descriptors that the daemon has open.",
                .gauge(Self.openDescriptors.map { [Metric([], Double($0))] } ?? [])),
        ]
    }

    /// The second number of `/proc/self/statm`, in pages. `proc(5)`
    private static var residentBytes: Int? {
        guard let file = try? Descriptor(reading: "/proc/self/statm"), let bytes = try? file.readBytes(upTo: 256) else {
            return nil
        }
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        return words.count > 1 ? Int(words[1]).map { $0 * sysconf(Int32(_SC_PAGESIZE)) } : nil
    }

    private static var openDescriptors: Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // Without '.', '..' and the folder's own.
        return count - 3
    }
}
