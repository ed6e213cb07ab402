import Foundation
import Programs

/// A machine that runs Xen, with a kernel of the lab's as its domain 0. QEMU emulates all of it, virtualization for
/// guests included.
public enum XenMachine {
    /// How long it may take, in seconds: thirty on a quiet machine.
    private static let patience = 900

    /// Boots it, has a program of this build run in domain 0, and powers it off.
    ///
    /// - Parameters:
    ///   - name: the program's.
    ///   - others: programs of this build that are there as well. It gets their paths as arguments.
    /// - Returns: what the program and Xen have said.
    public static func run(_ name: String, with others: [String]) throws -> String {
        let scratch = try Scratch()
        let programs = try ([name] + others).map { try Program.folder.appendingPathComponent($0) }
        var files = GuestFiles()
        for program in programs { try files.add(program: program) }
        let initial = try scratch.write(
            """
            #!/bin/sh
            export PATH=/bin
            mount -t devtmpfs dev /dev
            mount -t proc proc /proc
            modprobe xen-evtchn
            modprobe xen-privcmd
            \(programs.map(\.path).joined(separator: " ")) 2>&1
            poweroff -f

            """, to: "init")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: initial)
        try files.add(file: initial, at: "/xen-init")
        try files.write(after: Lab.value("INITRD_6_1"), to: scratch.path("initrd"))
        // mwait and rdtscp are what TCG gives no guest of a guest, and Linux as a PV domain takes no smap from QEMU.
        let arguments = [
            "\(patience)", Lab.value("QEMU"), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-serial", "stdio", "-machine", "q35", "-accel", "tcg", "-smp", "1", "-m", "1024", "-cpu",
            "EPYC,+svm,+npt,-monitor,-rdtscp,-smap", "-kernel", Lab.value("XEN_4_17"), "-append",
            "console=com1 com1=115200,8n1 dom0_mem=512M,max:512M cpuidle=0 loglvl=error guest_loglvl=error",
            "-initrd",
            "\(Lab.value("BZIMAGE_6_1")) console=hvc0 quiet mitigations=off panic=-1 rdinit=/xen-init,"
                + scratch.path("initrd"),
        ]
        return try Program.run(URL(fileURLWithPath: "/usr/bin/timeout"), arguments).output
            .replacingOccurrences(of: "\r", with: "")
    }
}
