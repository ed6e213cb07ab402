import Foundation

/// The QEMU, the kernels, the guest and the tools that `make lab` has brought: what `lab.env` lists.
public enum Lab {
    private static let values: [String: String] = {
        let environment = ProcessInfo.processInfo.environment
        let caches = environment["XDG_CACHE_HOME"] ?? (environment["HOME"] ?? "/root") + "/.cache"
        let file = (environment["MEDIATED_CACHE"] ?? caches + "/mediated") + "/lab.env"
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return [:] }
        var values: [String: String] = [:]
        for line in text.split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            values[String(line[..<equals])] = String(line[line.index(after: equals)...])
        }
        return values
    }()

    /// Whether guests can be booted here.
    public static var isReady: Bool { values["QEMU"] != nil }

    /// Whether libvirtd can be run here: it wants root.
    public static var hasLibvirt: Bool { values["LIBVIRTD"] != nil && geteuid() == 0 }

    /// Whether this is a run of `make xen`: whatever has to do with Xen, for as long as it takes.
    public static let isThorough = ProcessInfo.processInfo.environment["MEDIATED_XEN"] == "all"

    /// Whether an HTTP interface can be checked against its OpenAPI description.
    public static var hasSchemathesis: Bool { values["SCHEMATHESIS_PYTHON"] != nil }

    public static func has(_ key: String) -> Bool { values[key] != nil }

    public static func value(_ key: String) -> String { values[key] ?? "" }

    /// Arguments for a disk with Mesa and programs that draw, which a guest finds as /dev/vda.
    public static var mesa: [String] {
        [
            "-drive", "file=\(value("MESA_ROOT")),if=none,id=mesa,format=raw,readonly=on", "-device",
            "virtio-blk-pci,drive=mesa",
        ]
    }

    /// Arguments for UEFI instead of SeaBIOS. What the guest writes to its variables is gone with it.
    public static var uefi: [String] {
        [
            "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=\(value("OVMF_CODE"))", "-drive",
            "if=pflash,unit=1,format=raw,snapshot=on,file=\(value("OVMF_VARS"))",
        ]
    }

    /// Arguments that boot a kernel, such as "6.1", with the lab's guest.
    ///
    /// - Parameter canSleep: boot by way of the firmware's boot loader, which takes longer: only so does the firmware
    ///   lead a guest that wakes up from S3 back to where it slept.
    public static func boot(_ kernel: String, append: String = "", canSleep: Bool = false) -> [String] {
        let key = kernel.replacingOccurrences(of: ".", with: "_")
        return [
            "-kernel", value((canSleep ? "BZIMAGE_" : "KERNEL_") + key), "-initrd", value("INITRD_" + key), "-append",
            value("APPEND") + append,
        ]
    }
}
