import CLinux
import Glibc

/// How much of one thing this process may use, from when it is applied. `setrlimit(2)`
public struct ResourceLimit: Sendable {
    /// What is limited, by the kernel's name.
    public enum Resource: String, Sendable {
        case data = "RLIMIT_DATA"
        case fileSize = "RLIMIT_FSIZE"
        case descriptors = "RLIMIT_NOFILE"
        case processes = "RLIMIT_NPROC"
        case core = "RLIMIT_CORE"
        case lockedMemory = "RLIMIT_MEMLOCK"
        case messageQueues = "RLIMIT_MSGQUEUE"

        fileprivate var number: __rlimit_resource {
            switch self {
            case .data: RLIMIT_DATA
            case .fileSize: RLIMIT_FSIZE
            case .descriptors: RLIMIT_NOFILE
            case .processes: __RLIMIT_NPROC
            case .core: RLIMIT_CORE
            case .lockedMemory: __RLIMIT_MEMLOCK
            case .messageQueues: __RLIMIT_MSGQUEUE
            }
        }
    }

    public let resource: Resource
    public let value: UInt64

    public init(_ resource: Resource, _ value: UInt64) {
        self.resource = resource
        self.value = value
    }

    /// Whether this program is built with a sanitizer. Such a program gets no limit on data: the sanitizer's runtime
    /// maps terabytes.
    public static let isSanitized = clinux_is_sanitized() == 1

    /// Sets the limit, for good: the hard one goes with it. A hard limit that is lower already stays.
    public func apply() throws(Errno) {
        guard resource != .data || !Self.isSanitized else { return }
        try shim(clinux_lower_limit(Int32(resource.number.rawValue), value))
    }
}

extension ResourceLimit {
    /// In bytes, for each function. A device takes about 10 MiB. What a client can make it keep besides (65,535 maps,
    /// the dirty log, messages of 1 MiB) is less than 100 MiB.
    public static let defaultMemory: UInt64 = 256 << 20

    /// What a renderer may use from here on.
    ///
    /// - Parameter memory: private memory that can be written, in bytes, besides what the process has already: a driver
    ///   takes stacks for each processor at its start. A software driver keeps textures there, too.
    public static func ofRenderer(memory: UInt64, descriptors: Int = 1024) -> [ResourceLimit] {
        let (data, overflow) = dataSize.addingReportingOverflow(memory)
        return [
            ResourceLimit(.data, overflow ? .max : data), ResourceLimit(.descriptors, UInt64(descriptors)),
            ResourceLimit(.core, 0),
            ResourceLimit(.messageQueues, 0),
            // Files are memory files, which a driver makes for its buffers.
            ResourceLimit(.fileSize, 512 << 20),
            // Threads, whoever else runs as the same user. A driver has a few for each processor.
            ResourceLimit(.processes, 4096),
        ]
    }

    /// What a render server may use, and each of its processes.
    ///
    /// - Parameter memory: for what a guest has its driver make, in bytes: once in private memory, and once in memory
    ///   files, where a software driver keeps buffers and pictures.
    static func ofRenderServer(memory: UInt64) -> [ResourceLimit] {
        // A driver takes stacks of 8 MiB for each processor, and some for itself.
        let own = UInt64(256 << 20) + UInt64(max(1, sysconf(Int32(_SC_NPROCESSORS_CONF)))) << 24
        let (data, overflow) = memory.addingReportingOverflow(own)
        return [
            ResourceLimit(.data, overflow ? .max : data), ResourceLimit(.fileSize, max(memory, 512 << 20)),
            ResourceLimit(.descriptors, 16_384), ResourceLimit(.core, 0), ResourceLimit(.messageQueues, 0),
            ResourceLimit(.processes, 4096),
        ]
    }

    /// What this process has that RLIMIT_DATA counts, in bytes; 0 without `/proc`. `proc(5)`, statm
    private static var dataSize: UInt64 {
        guard let file = try? Descriptor(reading: "/proc/self/statm"), let line = try? file.readBytes(upTo: 256)
        else { return 0 }
        let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
        guard fields.count > 5, let pages = UInt64(fields[5]) else { return 0 }
        return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }

    /// The most files that are behind the maps of clients, those of all functions of a process together.
    public static let mappedFiles = 32_768

    /// For each function: the process's own, a client's eventfds (five types of interrupt, at most a few hundred
    /// vectors), connections, descriptors that wait with messages (512) and in three lanes to be closed
    /// (``ClosingLane/capacity`` each, and 512 connections of strangers): so many fewer that one message always finds
    /// room for all it may bring. What it found none for the kernel would close, on the device's thread.
    private static let descriptorsBesidesMaps = 4096

    /// One for each file that is mapped, and the rest.
    ///
    /// - Parameter functions: how many the process serves.
    public static func descriptorsOfDevice(functions: Int = 1) -> ResourceLimit {
        ResourceLimit(.descriptors, UInt64(mappedFiles + functions * descriptorsBesidesMaps))
    }

    /// How many descriptors each of a process's functions may keep for maps, by the limit that the process has now.
    /// Where that is lower than ``descriptorsOfDevice(functions:)``, maps leave the rest what it may need, or half of
    /// all.
    public static func descriptorsForMaps(functions: Int = 1) -> Int {
        let limit = sysconf(Int32(_SC_OPEN_MAX))
        // -1: there is no limit.
        let all = limit < 0 ? mappedFiles : min(mappedFiles, max(limit - functions * descriptorsBesidesMaps, limit / 2))
        return all / functions
    }

    /// What a bridge may use while it serves programs: messages of 1 MiB of each, and memory files that it shares, with
    /// programs and a vGPU.
    public static let ofBridge = [
        ResourceLimit(.data, defaultMemory), ResourceLimit(.fileSize, 2 << 30), ResourceLimit(.descriptors, 4096),
        ResourceLimit(.processes, 0), ResourceLimit(.core, 0), ResourceLimit(.lockedMemory, 0),
        ResourceLimit(.messageQueues, 0),
    ]

    /// What a process may use that copies files of at most so many bytes, a piece at a time.
    static func ofCopying(upTo size: Int) -> [ResourceLimit] {
        [
            ResourceLimit(.data, 64 << 20), ResourceLimit(.fileSize, UInt64(max(0, size))),
            ResourceLimit(.descriptors, 16), ResourceLimit(.processes, 0), ResourceLimit(.core, 0),
            ResourceLimit(.lockedMemory, 0), ResourceLimit(.messageQueues, 0),
        ]
    }

    /// What a device process may use while it serves.
    ///
    /// - Parameters:
    ///   - memory: private memory that can be written, in bytes; unless given, ``defaultMemory`` for each function.
    ///     What it shares, with
    ///     guests or as a display's memory, is not counted.
    ///   - functions: how many it serves.
    public static func ofDevice(memory: UInt64? = nil, functions: Int = 1) -> [ResourceLimit] {
        [
            ResourceLimit(.data, memory ?? defaultMemory * UInt64(functions)),
            // Memory files among them: up to 512 MiB of video memory, and a saved state that contains it.
            ResourceLimit(.fileSize, 1 << 30),
            descriptorsOfDevice(functions: functions),
            // Neither processes nor threads, whoever else runs as the same user. The kernel doesn't hold root to it;
            // the system call filter does.
            ResourceLimit(.processes, 0),
            // What a guest has in its memory doesn't go to a disk.
            ResourceLimit(.core, 0),
            ResourceLimit(.lockedMemory, 0),
            ResourceLimit(.messageQueues, 0),
        ]
    }
}
