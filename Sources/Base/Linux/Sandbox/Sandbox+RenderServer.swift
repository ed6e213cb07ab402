import CLinux
import Glibc

extension Sandbox {
    /// Confines a process for good that is about to become virglrenderer's render server. That makes a process for each
    /// context of a guest's, in which drivers are loaded and code is made: they read libraries, manifests and what the
    /// kernel says of graphics devices, and write nowhere but to such a device. They make no connection, and reach no
    /// process but each other.
    ///
    /// A program that one of them may start is confined as they are.
    ///
    /// - Parameters:
    ///   - folders: whose files they may read and run, besides the system's.
    ///   - renderNode: the graphics device that they may use, such as /dev/dri/renderD128.
    ///   - memory: how many bytes of memory each of them may take.
    /// - Throws: ``Failure``, also where the kernel has no Landlock: no other means tells one file from another. The
    ///   process may be confined in part then and had better end.
    public static func confineRenderServer(folders: [String], renderNode: String?, memory: UInt64) throws(Failure) {
        try step("forbid tracing") { () throws(Errno) in try shim(clinux_forbid_tracing()) }
        try giveUpPrivileges()
        var exceptions = (systemFolders + folders).map { Landlock.Exception(path: $0, use: .readAndRun) }
        exceptions += (["/dev/null", "/dev/udmabuf"] + (renderNode.map { [$0] } ?? [])).map {
            Landlock.Exception(path: $0, use: .readAndWrite)
        }
        if renderNode != nil { exceptions.append(Landlock.Exception(path: "/dev/dri", use: .list)) }
        try step("have Landlock deny all but a driver's files") { () throws(Errno) in
            guard try Landlock.denyEverything(but: exceptions) != nil else { throw .noFunction }
        }
        for limit in ResourceLimit.ofRenderServer(memory: memory) {
            try step("limit \(limit.resource) to \(limit.value)") { () throws(Errno) in try limit.apply() }
        }
        signal(SIGXFSZ, SIG_IGN)
        try step("filter system calls") { () throws(Errno) in
            try SystemCallFilter.ofRenderServer(usesDevice: renderNode != nil).install()
        }
    }

    /// Programs and libraries, what drivers are set up with, and what the kernel says of the machine.
    private static let systemFolders = [
        "/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/vulkan", "/etc/glvnd",
        "/etc/drirc", "/etc/nvidia", "/opt", "/sys/bus/pci", "/sys/class/drm", "/sys/dev", "/sys/devices",
        "/proc/cpuinfo", "/proc/meminfo", "/dev/urandom",
    ]
}
