import Control
import Glibc
import Linux
import Xen

/// A device process: it serves a function, or several that belong together, and confines itself where it is told to.
@main
final class DeviceProcess {
    static func main() {
        // Whoever reads what is said here may leave; the guest keeps its device.
        signal(SIGPIPE, SIG_IGN)
        if let status = CheckpointWriter.run(CommandLine.arguments) { exit(status) }
        do {
            let words = CommandLine.arguments.dropFirst()
            if let release = try SlotRelease(words: words) { return try release.run() }
            let arguments = try DeviceArguments(words: words)
            try claimDescriptors(arguments)
            guard try mayStart(arguments) else { return }
            let places = try arguments.functions.map { function throws(Failure) in try OpenPlace(function.place) }
            try arguments.identity?.become()
            let process = try DeviceProcess(arguments, at: places)
            try process.run()
        } catch let problem as DeviceArguments.Problem {
            say(problem.description)
            for line in DeviceArguments.usage.split(separator: "\n") { StandardError.print(String(line)) }
            exit(Failure.Exit.usage)
        } catch let failure as Failure {
            end(failure.status, failure.description)
        } catch {
            end(Failure.Exit.software, "The device stopped: \(error).")
        }
    }

    private static func end(_ status: Int32, _ message: String) -> Never {
        say(message)
        exit(status)
    }

    /// Says a line in the log.
    ///
    /// - Parameter name: what it is about; nil: the process.
    static func say(_ message: String, of name: String? = nil) {
        StandardError.print("mediated-device: \(name.map { "\($0): " } ?? "")\(message)")
    }

    private let arguments: DeviceArguments
    private let stopSignal: StopSignal
    /// Served by the process's first thread: one function needs no other.
    private let first: ServedFunction
    private let others: [ServingThread]

    // MARK: Before there is a device

    /// Sees to it that no program that a device starts gets what was inherited, too.
    private static func claimDescriptors(_ arguments: DeviceArguments) throws(Failure) {
        for (option, descriptor) in arguments.inherited where fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0 {
            throw Failure(
                Failure.Exit.usage, "\(option.rawValue) is \(descriptor), but no such descriptor was inherited.")
        }
    }

    /// Waits until whoever started this process has noted that it did.
    ///
    /// - Returns: false when they are gone and have not: nobody knows of this process, or ever will.
    private static func mayStart(_ arguments: DeviceArguments) throws(Failure) -> Bool {
        guard let raw = arguments.startDescriptor else { return true }
        do throws(Errno) {
            return try Descriptor(owning: raw).readBytes(upTo: 1).count == 1
        } catch {
            throw Failure(.start, raw, unusable: error)
        }
    }

    // MARK: The functions

    /// - Parameter places: for each function, where its accesses come from.
    private init(_ arguments: DeviceArguments, at places: [OpenPlace]) throws {
        let count = arguments.functions.count
        // Before all that asks for it: once the process is confined nobody can.
        try ResourceLimit.descriptorsOfDevice(functions: count).apply()
        let stopSignal = try StopSignal(functions: count)
        func make(_ index: Int) throws -> sending MadeFunction {
            try MadeFunction(arguments.functions[index], at: places[index], ofFunctions: count)
        }
        let made = try make(0)
        let othersMade = try (1..<count).map { Locked<MadeFunction?>(try make($0)) }
        // A state is a stranger's. The first of them is parsed when nothing is at hand that could harm another domain,
        // be it for another function.
        for place in places { place.seal() }
        first = try ServedFunction(made, 0, of: arguments, stopSignal: stopSignal)
        others = try zip(1..., othersMade).compactMap { index, made in
            guard let made = made.take() else { return nil }
            return try ServingThread(
                ServedFunction(made, index, of: arguments, stopSignal: stopSignal), stopSignal: stopSignal)
        }
        self.arguments = arguments
        self.stopSignal = stopSignal
    }

    /// Serves all functions until one of them is told to stop, or the process is: then all end.
    private func run() throws {
        let loop = first.loop
        // TERM and INT end the process as `stop` does, between two messages.
        let signals = try SignalFD([SIGTERM, SIGINT])
        let token = try loop.watch("signals", signals.descriptor, for: .readable) { [stopSignal] _ in
            signals.consume()
            stopSignal.send()
        }
        defer { loop.unwatch(token) }
        let outcome = Result {
            try confine()
            for other in others { other.serve() }
            try first.run()
        }
        stopSignal.send()
        let errors = others.compactMap { $0.join() }
        try outcome.get()
        if let error = errors.first { throw error }
    }

    /// Leaves the process no more than it needs from here on. Programs that the device has started are not concerned.
    private func confine() throws {
        guard arguments.isSandboxed else {
            if let memory = arguments.memory { try ResourceLimit(.data, memory).apply() }
            return try startOthers()
        }
        let count = arguments.functions.count
        let landlock = try Self.confine(
            limits: ResourceLimit.ofDevice(memory: arguments.memory, functions: count),
            usesXen: arguments.functions.contains { $0.place.slot != nil }
        ) { () throws(Errno) in
            try first.loop.startThreads()
            try startOthers()
        }
        let second = landlock.map { "by Landlock, version \($0)" } ?? "not by Landlock, which this kernel doesn't have"
        let name = count == 1 ? arguments.functions[0].name : nil
        Self.say("Confined by a system call filter, and \(second).", of: name)
    }

    /// - Returns: the version of Landlock; nil where this kernel has none.
    static func confine(
        limits: [ResourceLimit], usesXen: Bool, startThreads: () throws(Errno) -> Void
    ) throws(Failure) -> Int? {
        do throws(Sandbox.Failure) {
            let commands = usesXen ? DomainServer.commandsWhileServing : []
            return try Sandbox.confine(limits: limits, commands: commands, startThreads: startThreads)
        } catch {
            throw Failure(Failure.Exit.system, "The process can't be confined. \(error)")
        }
    }

    private func startOthers() throws(Errno) {
        for other in others { try other.start() }
    }
}
