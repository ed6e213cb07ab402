import Glibc
import Linux

/// Starts workers for one device process, one at a time, as copies of itself; ends when the device process does.
///
/// It has no thread besides its own and never touches the workers' library, so that a copy begins with a clean slate.
public struct WorkerLauncher: Sendable {
    /// The worker's status when it can't do its work. `sysexits.h`
    public static let software: Int32 = 70
    private static let usage: Int32 = 64

    /// Its name, for sentences and the log.
    private let program: String

    /// - Parameter program: its name, for sentences and the log.
    public init(_ program: String) {
        self.program = program
    }

    /// Whether a device process has started this program. It is of no use by itself.
    public static var isCalled: Bool { fcntl(ChildProcess.firstDescriptor, F_GETFD) >= 0 }

    /// Says that this program is of no use by itself.
    public func refuse() -> Never {
        say("mediated-device starts this program; it is of no use by itself.")
        exit(Self.usage)
    }

    /// Says something to whoever reads the device process's log.
    public func say(_ message: String) {
        StandardError.print("\(program): \(message)")
    }

    /// Starts and ends workers as the device process says, until that goes.
    ///
    /// - Parameter work: what a copy does, with its end of a session and how many bytes of memory it may take besides
    ///   what its library has at the start. It confines itself, and returns the status to end with.
    public func run(_ work: (consuming UnixSocket, _ memory: UInt64) throws -> Int32) {
        signal(SIGPIPE, SIG_IGN)
        do throws(Sandbox.Failure) {
            try Sandbox.giveUpPrivileges()
        } catch {
            say("The launcher can't be confined. \(error)")
            exit(Self.software)
        }
        do throws(Errno) {
            try ChildProcess.adoptOrphans()
            let socket = UnixSocket(owning: Descriptor(owning: ChildProcess.firstDescriptor))
            try launch(over: socket, work)
        } catch {
            // The device process has gone, or will see that this one has.
            exit(error == .connectionReset ? 0 : Self.software)
        }
    }

    private func launch(
        over socket: borrowing UnixSocket, _ work: (consuming UnixSocket, UInt64) throws -> Int32
    ) throws(Errno) {
        var worker: (process: Int32, handle: ProcessHandle)?
        defer { if let worker { ChildProcess.endGroup(of: worker.process) } }
        while true {
            let sources = [socket.descriptor.raw] + (worker.map { [$0.handle.descriptor.raw] } ?? [])
            let ready = try waitReadable(sources, within: nil)
            if let ended = worker, ready[1] {
                worker = nil
                try tell(ChildProcess.endGroup(of: ended.process), over: socket)
            }
            var descriptors = ReceivedDescriptors()
            guard ready[0], let packet = try WorkerLink.receive(from: socket, &descriptors, blocking: false) else {
                continue
            }
            // Either request ends the worker that is there.
            if let old = worker {
                worker = nil
                try tell(ChildProcess.endGroup(of: old.process), over: socket)
            }
            guard packet.kind == WorkerLink.start, let session = descriptors.take(0) else { continue }
            let launcher = getpid()
            let process: Int32
            do throws(Errno) {
                process = try ChildProcess.fork()
            } catch {
                say("No worker can be started: \(error).")
                try tell(nil, over: socket)
                continue
            }
            if process == 0 { begin(session, memory: packet.number, launcher: launcher, work) }
            ChildProcess.makeGroup(of: process)
            worker = (process, try ProcessHandle(process))
        }
    }

    /// Says that the worker has ended.
    private func tell(_ signal: Int32?, over socket: borrowing UnixSocket) throws(Errno) {
        try WorkerLink.send(WorkerLink.ended, number: UInt64(signal ?? 0), over: socket)
    }

    /// What a copy does.
    private func begin(
        _ session: consuming Descriptor, memory: UInt64, launcher: Int32,
        _ work: (consuming UnixSocket, UInt64) throws -> Int32
    ) -> Never {
        // The device process must see it when this process ends, and this one when the device process does.
        close(ChildProcess.firstDescriptor)
        // What it may start ends with it.
        ChildProcess.makeGroup(of: 0)
        do {
            try ChildProcess.dieWith(parent: launcher)
            exit(try work(UnixSocket(owning: session), memory))
        } catch {
            say("The worker can't start: \(error).")
            exit(Self.software)
        }
    }
}
