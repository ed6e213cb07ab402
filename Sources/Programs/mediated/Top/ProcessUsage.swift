import Glibc
import Linux

/// What a process uses of the host, by `/proc/PID/stat`. `proc(5)`
struct ProcessUsage: Equatable, Sendable {
    /// When it was started, in clock ticks: no later process with its number has the same.
    let start: UInt64
    /// Processor time of all its threads, in seconds.
    let processorSeconds: Double
    /// Memory that it has in use and not swapped out, in bytes.
    let residentBytes: UInt64

    /// Nil when there is no such process, or it can't be seen from here.
    init?(of process: Int32) {
        guard let file = try? Descriptor(reading: "/proc/\(process)/stat"),
            let bytes = try? file.readBytes(upTo: 4096)
        else { return nil }
        self.init(
            stat: String(decoding: bytes, as: UTF8.self), ticksPerSecond: sysconf(Int32(_SC_CLK_TCK)),
            pageSize: sysconf(Int32(_SC_PAGESIZE)))
    }

    /// - Parameter stat: the file's content.
    init?(stat: String, ticksPerSecond: Int, pageSize: Int) {
        // The second field is the program's name in brackets, which may have spaces and brackets of its own.
        guard let nameEnd = stat.lastIndex(of: ")"), ticksPerSecond > 0, pageSize > 0 else { return nil }
        let fields = stat[stat.index(after: nameEnd)...].split(whereSeparator: \.isWhitespace)
        // By the manual's numbers, which begin at 1: the first field here is the third.
        func field(_ number: Int) -> UInt64? { fields.count > number - 3 ? UInt64(fields[number - 3]) : nil }
        guard let user = field(14), let system = field(15), let start = field(22), let pages = field(24) else {
            return nil
        }
        self.start = start
        processorSeconds = (Double(user) + Double(system)) / Double(ticksPerSecond)
        residentBytes = pages &* UInt64(pageSize)
    }
}
