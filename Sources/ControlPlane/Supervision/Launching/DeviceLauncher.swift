import Control
import Glibc
import Linux
import Mediation
import XenSlot

/// Starts device processes that outlive this one. What it does waits for the kernel and the disk: it is for threads
/// that nobody else needs (``blocking(_:)``).
struct DeviceLauncher: Sendable {
    /// The path of mediated-device.
    let program: String
    let directories: Directories
    /// Where vGPUs have control groups; nil: nowhere.
    let groups: DeviceGroups?
    let logs: LogCollector
    /// Whether device processes keep their last events.
    let hasRecorders: Bool

    /// What a device process is to be.
    struct Order: Sendable {
        var id: InstanceID
        /// The start of the vGPU for which it is.
        var generation: Int
        var device: String
        var options: [String]
        var owner: Instance.Owner?
        /// Where it is; nil: its client connects to its socket.
        var slot: DomainSlot?
        /// Whom it becomes; nil: it stays who this process is, which is not root then.
        var user: UInt32?
        /// The group that it becomes a member of, and of no other, with `user`; nil: one of the user's own.
        var group: UInt32?
        /// What it may use, its weight and memory.
        var limits: Limits
        /// Whether it goes on from the state that was saved last.
        var isRestored: Bool
    }

    /// What couldn't be done, and why.
    struct Failure: Error, CustomStringConvertible {
        let step: String
        let error: Errno
        var description: String {
            error == .fileExists
                ? "Can't \(step): something else is there. Remove it." : "Can't \(step): \(error)."
        }
    }

    /// A process that waits to be told that it is known. Without ``release()`` it ends when this goes away.
    final class Started: Sendable {
        let identity: ProcessIdentity
        /// Whether it goes on from a saved state: whether there was one.
        let isRestored: Bool
        /// Both ends: what is written goes well, whether the process is there still or not.
        private let gate: PipeEnds

        fileprivate init(identity: ProcessIdentity, isRestored: Bool, gate: consuming PipeEnds) {
            self.identity = identity
            self.isRestored = isRestored
            self.gate = gate
        }

        /// Lets it serve. It waits for nothing.
        func release() {
            let byte: [UInt8] = [1]
            do throws(Errno) { try gate.writer.writeAll(byte.span.bytes) } catch {
                // A pipe of which both ends are open has room for its first byte. Without it the process doesn't serve,
                // which is seen.
            }
        }
    }

    /// What systemd tells a service, and nobody else: a device process has none of its sockets, and can't speak for it.
    /// `systemd.exec(5)`, "Environment Variables Set or Propagated by the Service Manager"
    static let withheldVariables: Set<String> = [
        "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES", "WATCHDOG_PID",
        "WATCHDOG_USEC", "FDSTORE", "MAINPID", "MANAGERPID", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID",
        "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY",
    ]

    /// Whether control groups share out the processor. Where they don't, nice values do (``Weight``).
    var hasProcessorGroups: Bool { groups?.controllers.contains("cpu") ?? false }

    /// Makes the sockets and starts the process. When it throws nothing is left that it has made, and nothing else is
    /// gone but, of one that begins anew, an old saved state.
    func start(_ order: Order) throws(Failure) -> Started {
        if !order.isRestored { removeSavedState(of: order.id) }
        log(of: order.id).trim()
        let listener = order.slot == nil ? try makeSocket(order) : nil
        let control: UnixListener
        do throws(Failure) { control = try makeControl(order) } catch {
            removeSocket(directories.socket(of: order.id))
            rmdir(directories.folder(of: order.id))
            throw error
        }
        do throws(Failure) { return try start(order, listener, control) } catch {
            clean(order.id)
            throw error
        }
    }

    private func makeControl(_ order: Order) throws(Failure) -> UnixListener {
        let path = directories.control(of: order.id)
        return try step("make the control socket '\(path)'") { () throws(Errno) in
            try UnixListener(path: path, mode: 0o600, leavesPath: true)
        }
    }

    private func start(
        _ order: Order, _ listener: UnixListener?, _ control: UnixListener
    ) throws(Failure) -> Started {
        let log = try step("make the pipe of the log") { () throws(Errno) in try logs.makePipe(for: order.id) }
        let start = try step("make a pipe") { () throws(Errno) in try PipeEnds(blocks: true) }
        let state = try savedState(order)

        var descriptors: [Int32] = []
        func pass(_ descriptor: Int32) -> Int32 {
            descriptors.append(descriptor)
            return ChildProcess.firstDescriptor + Int32(descriptors.count - 1)
        }
        var function = function(order)
        function.name = "\(order.id)"
        function.options = order.options
        function.socketDescriptor = listener.map { pass($0.descriptor.raw) }
        function.controlDescriptor = pass(control.descriptor.raw)
        let isRestored: Bool
        switch state {
        case let state?:
            isRestored = true
            function.state = .descriptor(pass(state.raw))
        case nil: isRestored = false
        }
        var arguments = DeviceArguments(function)
        arguments.startDescriptor = pass(start.reader.raw)
        arguments.isSandboxed = true
        arguments.isRecording = hasRecorders
        arguments.memory = MemoryBounds(order.limits).data
        arguments.identity = order.user.map { DeviceArguments.Identity(user: $0, group: order.group ?? $0) }
        if order.slot == nil {
            // Without an owner the device process lets in root and this user, so it must be told of this one.
            arguments.allowedPeers = AllowedPeers(
                users: [order.owner?.user ?? geteuid()], groups: order.owner?.group.map { [$0] } ?? [])
        } else {
            // What its domain has left behind is saved when that has ended.
            arguments.stays = true
        }
        let identity = try step("start '\(program)'") { () throws(Errno) in
            let process = try ChildProcess.spawn(
                program, arguments.words, passing: descriptors, without: Self.withheldVariables, standardError: log.raw,
                isDetached: true)
            do throws(Errno) { return try ProcessIdentity(of: process) } catch {
                ChildProcess.end(process)
                throw error
            }
        }
        let started = Started(identity: identity, isRestored: isRestored, gate: start)
        // Before it serves anybody, so that nothing is charged to the daemon but what a process starts with, and what
        // it starts itself, a renderer, has the same share.
        if order.limits.weight != Limits.standardWeight, !hasProcessorGroups {
            Weight(order.limits.weight).apply(toSessionOf: identity.id)
        }
        if let groups {
            do throws(Errno) { try groups.add(identity.id, to: order.id, order.limits) } catch {
                ChildProcess.end(identity.id)
                throw Failure(step: "put the device process into a control group", error: error)
            }
        }
        return started
    }

    private func function(_ order: Order) -> DeviceArguments.Function {
        let control = directories.control(of: order.id)
        guard let slot = order.slot else {
            var function = DeviceArguments.Function(order.device, socket: directories.socket(of: order.id))
            function.control = control
            return function
        }
        var function = DeviceArguments.Function(order.device, in: slot, control: control)
        // It goes on with nothing that another vGPU has left there, nor this one before its last start.
        function.identity = "\(order.id).\(order.generation)"
        return function
    }

    /// What it goes on from; nil: nothing, as nothing was saved. One that can't be read is not taken for none: it is
    /// tried again.
    private func savedState(_ order: Order) throws(Failure) -> Descriptor? {
        guard order.isRestored else { return nil }
        let path = directories.savedState(of: order.id)
        do throws(Errno) { return try Descriptor(reading: path) } catch {
            guard error == .noSuchFileOrDirectory else { throw Failure(step: "read '\(path)'", error: error) }
            return nil
        }
    }

    /// The socket in a folder of its own: nobody but the owner may enter that, or connect.
    private func makeSocket(_ order: Order) throws(Failure) -> UnixListener {
        let folder = directories.folder(of: order.id)
        let path = directories.socket(of: order.id)
        return try step("make the socket '\(path)'") { () throws(Errno) in
            // The one above has another mode, and is the daemon's to make.
            try makeFolder(folder, mode: 0o700, makesParents: false)
            let owner = geteuid() == 0 ? order.owner : nil
            let mode: mode_t = owner?.group == nil ? 0o600 : 0o660
            // Nobody can get to it before its folder lets them in.
            let listener = try UnixListener(path: path, mode: mode, leavesPath: true)
            guard let owner else { return listener }
            // The folder stays root's, so that its owner can put nothing else into the socket's place. Whose group may
            // enter it: the owner's, or the main one of the owning user.
            let group = owner.group ?? owner.user.flatMap(Accounts.group(ofUser:)) ?? 0
            try listener.setAccess(user: owner.user ?? 0, group: group, mode: mode)
            let folder = try Descriptor(namingFolder: folder)
            try folder.setOwner(user: 0, group: group)
            try folder.setMode(0o710)
            return listener
        }
    }

    /// Sees to it that nobody more can connect as a client; ``openSocket(of:)`` must follow. Who has connected already
    /// stays.
    func closeSocket(of id: InstanceID) throws(Failure) {
        let path = directories.socket(of: id)
        try step("put the socket '\(path)' aside") { () throws(Errno) in
            guard rename(path, path + Self.aside) == 0 else { throw Errno(rawValue: errno) }
        }
    }

    /// Puts back a socket that was put aside, unless it is gone since.
    func openSocket(of id: InstanceID) {
        let path = directories.socket(of: id)
        rename(path + Self.aside, path)
    }

    private static let aside = ".aside"

    /// Kills a child for whose end nobody waits, and takes its status, on a thread of its own: one that sleeps in the
    /// kernel may take its time.
    ///
    /// - Parameter lease: of the user whom it has alone, until it is gone.
    func end(_ process: Int32, keeping lease: Users.Lease? = nil) {
        kill(process, SIGKILL)
        do throws(Errno) {
            _ = try Thread(name: "end", stackSize: 128 << 10) {
                ChildProcess.end(process)
                lease?.giveBack()
            }
        } catch {
            // Without a thread it stays a zombie until this process ends, and keeps its user.
            lease?.keep()
        }
    }

    func log(of id: InstanceID) -> LogFile { LogFile(path: directories.log(of: id)) }

    /// The last line that a device process has written; nil: it has written none.
    func lastWords(of id: InstanceID) -> String? {
        logs.drain(id)
        return log(of: id).lines(1).lines.last
    }

    func removeSavedState(of id: InstanceID) { unlink(directories.savedState(of: id)) }

    /// Removes what is kept of a vGPU as long as it is defined.
    func forget(_ id: InstanceID) {
        unlink(directories.log(of: id))
        removeSavedState(of: id)
    }

    /// Removes the sockets, the log's pipe and the control group of a device process that has ended.
    func clean(_ id: InstanceID) {
        let folder = directories.folder(of: id)
        // One that was being made, when the manager was killed, has another name.
        for name in names(inFolder: folder) { removeSocket("\(folder)/\(name)") }
        rmdir(folder)
        removeSocket(directories.control(of: id))
        logs.remove(id)
        groups?.remove(id)
    }

    /// Whatever else is there isn't ours.
    func removeSocket(_ path: String) {
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
    }

    private func step<Value: ~Copyable>(_ name: String, _ body: () throws(Errno) -> Value) throws(Failure) -> Value {
        do throws(Errno) { return try body() } catch { throw Failure(step: name, error: error) }
    }
}
