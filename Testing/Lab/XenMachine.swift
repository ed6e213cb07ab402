import Foundation
import Programs

/// A machine that runs Xen, with the lab's guest as its domain 0. QEMU emulates all of it, virtualization for guests
/// included.
public final class XenMachine: Guest {
    /// What Debian has of Xen, by the release.
    public enum Release: String, CaseIterable, Sendable {
        case debian12, debian13

        /// Xen's version.
        public var xen: String { self == .debian12 ? "4.17" : "4.20" }
        /// The version of domain 0's kernel.
        public var kernel: String { self == .debian12 ? "6.1" : "6.12" }

        public var isInLab: Bool { Lab.has(key) && Lab.has(kernelKey("BZIMAGE_")) }
        /// Whether Xen's own tools are there as well.
        public var hasTools: Bool { isInLab && Lab.has(toolsKey) }

        // MARK: Names in `lab.env`

        var key: String { "XEN_" + xen.replacingOccurrences(of: ".", with: "_") }
        var toolsKey: String { key + "_TOOLS" }
        func kernelKey(_ name: String) -> String { name + kernel.replacingOccurrences(of: ".", with: "_") }
    }

    public let release: Release
    /// Domain 0's second serial port: Xen has the first.
    public let agent: Agent
    private let process = Process()
    private let folder: Scratch

    /// Boots it, and waits until domain 0 takes commands.
    ///
    /// - Parameters:
    ///   - programs: of this build. They are in domain 0 where they are here.
    ///   - memory: of the machine, in MiB; domain 0 has half of it.
    ///   - files: what is in domain 0 besides.
    public init(
        _ release: Release, with programs: [String], memory: Int = 1024, files: GuestFiles = GuestFiles()
    ) throws {
        self.release = release
        folder = try Scratch()
        var files = files
        for program in programs { try files.add(program: try Program.folder.appendingPathComponent(program)) }
        try files.write(after: Lab.value(release.kernelKey("INITRD_")), to: folder.path("initrd"))
        let (input, output) = (Pipe(), Pipe())
        // A machine that is emulated in software, with machines of its own: a boot takes twenty seconds on a quiet
        // host.
        agent = Agent(
            reading: output.fileHandleForReading, writing: input.fileHandleForWriting, patience: 900)
        process.executableURL = URL(fileURLWithPath: Lab.value("QEMU"))
        // mwait and rdtscp are what TCG gives no guest of a guest, and Linux as a PV domain takes no smap from QEMU.
        // Programs in domain 0 and in a domain crashed in some runs with xsave, and in none without; why isn't known.
        process.arguments = [
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial",
            "file:" + folder.path("console"), "-serial", "stdio", "-machine", "q35", "-accel", "tcg", "-smp", "1", "-m",
            "\(memory)", "-cpu",
            "EPYC,+svm,+npt,-monitor,-rdtscp,-smap", "-kernel", Lab.value(release.key), "-append",
            "console=com1 com1=115200,8n1 dom0_mem=\(memory / 2)M,max:\(memory / 2)M cpuidle=0 xsave=0 loglvl=error "
                + "guest_loglvl=error",
            "-initrd",
            "\(Lab.value(release.kernelKey("BZIMAGE_"))) console=hvc0 console=ttyS1 quiet loglevel=0 mitigations=off panic=-1,"
                + folder.path("initrd"),
        ]
        (process.standardInput, process.standardOutput, process.standardError) = (input, output, output)
        try process.run()
        do {
            try awaitReady()
            try command("modprobe -a xen-evtchn xen-privcmd xen-gntdev xenfs")
        } catch {
            throw GuestError("\(error) Xen's console: \(console)")
        }
    }

    deinit {
        end()
        process.waitUntilExit()
    }

    /// Ends it, as a power failure would.
    func end() {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    /// What Xen has said so far.
    public var console: String { (try? String(contentsOfFile: folder.path("console"), encoding: .utf8)) ?? "" }

    /// The path in domain 0 of a program of this build.
    public static func path(_ program: String) throws -> String {
        try Program.folder.appendingPathComponent(program).path
    }

    /// Runs a shell command that has to succeed.
    ///
    /// - Returns: what it said.
    @discardableResult
    public func command(_ command: String) throws -> String {
        let outcome = try run(command)
        guard outcome.status == 0 else { throw GuestError("'\(command)': \(outcome.output)") }
        return outcome.output
    }
}
