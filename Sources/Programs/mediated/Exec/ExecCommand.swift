import ArgumentParser
import Glibc
import Linux
import Mediation

/// `mediated exec`
struct ExecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Run a program of this host on a vGPU, without a virtual machine.",
        discussion: """
            The program draws and computes by OpenGL on a virtio-gpu with renderer=virgl, within all that the vGPU is \
            given: its memory, its share of processors, its sandbox. It needs no change: Mesa's own driver reaches the \
            vGPU. Input, output, signals and exit status are the program's: this process becomes it. When there is no \
            such program the status is 127, when it can't be run 126, as with env(1).

            Several programs can share a vGPU. What drives it for them, mediated-bridge, is a process of your own that \
            the first program starts and that ends five seconds after the last. A virtual machine and programs can't \
            have a vGPU at the same time.

            Mesa before 24.1 looks for its renderer at /tmp/.virgl_test alone, so the program sees the vGPU there: it \
            gets mounts of its own. An empty file is left in /tmp for that. Where no mounts can be had the program isn't \
            started: another user might be at that path. 'mediated env' does without, for Mesa from 24.1 on.
            """)

    @Argument(
        help: "The vfio-user socket of a device process on this host, or the UUID of a vGPU that the daemon keeps.",
        completion: .file())
    var vgpu: String

    @OptionGroup var daemon: DaemonOptions

    @Argument(parsing: .postTerminator, help: "The program and its arguments, behind '--'.")
    var program: [String] = []

    func validate() throws {
        guard !program.isEmpty else {
            throw ValidationError("No program is named. Give it behind '--', as in: mediated exec \(vgpu) -- glxgears")
        }
    }

    func run() throws {
        let socket = try daemon.socketPath(of: vgpu)
        if InstanceID(vgpu) != nil {
            // What has asked the daemon has started threads, with which no process may leave its namespaces.
            try become("/proc/self/exe", ["mediated", "exec", socket, "--"] + program)
        }
        let bridge = try BridgeConnection.open(toVGPU: socket)
        for (name, value) in bridge.environment { setenv(name, value, 1) }
        do throws(Errno) {
            try PrivateMounts.begin()
            try PrivateMounts.cover(BridgeConnection.oldPath, by: bridge.path)
        } catch {
            // Whoever else listens there would draw for an older Mesa, and see all of it.
            throw Failure(
                .noPermission,
                "The vGPU can't be put at '\(BridgeConnection.oldPath)', where Mesa before 24.1 looks for it: \(error). A "
                    + "newer one does without: use the variables of 'mediated env \(socket)'.")
        }
        bridge.keepOpen()
        try become(program[0], program)
    }

    /// - Parameters:
    ///   - path: with a slash in it, or the name of a program to look for. `execvp(3)`
    ///   - words: what it is called, and its arguments.
    private func become(_ path: String, _ words: [String]) throws(Failure) -> Never {
        // Freed by the exec, or with the process right after.
        execvp(path, words.map { strdup($0) } + [nil])
        let error = Errno(rawValue: errno)
        switch error {
        case .noSuchFileOrDirectory, .notDirectory: throw Failure(.noProgram, "There is no program '\(path)'.")
        case .permissionDenied: throw Failure(.notRunnable, "You may not run '\(path)'.")
        default: throw Failure(.notRunnable, "'\(path)' can't be run: \(error).")
        }
    }
}
