import Glibc
import Linux
import VFIOUserClient
import VTest
import VirtioGPUDriver

/// Drives a vGPU for programs of one user that have no virtual machine: `mediated exec` starts it and waits until it
/// serves. Documentation/Programs.md
@main
struct MediatedBridge {
    /// Where what it is started with lies.
    private static let listener = ChildProcess.firstDescriptor
    private static let answer = ChildProcess.firstDescriptor + 1
    /// How long it stays without a program.
    private static let patience = Duration.seconds(5)
    /// How long a client before it may take to go.
    private static let departure = Duration.seconds(3)

    static func main() {
        guard CommandLine.arguments.count == 2, isCalled else {
            StandardError.print("mediated-bridge: This program is started by 'mediated exec'.")
            exit(64)
        }
        signal(SIGPIPE, SIG_IGN)
        // Nobody's child: the program that it is started for waits for its own. And no folder is kept in use.
        guard (try? ChildProcess.fork()) == 0 else { exit(0) }
        chdir("/")
        let socket = CommandLine.arguments[1]
        do {
            try serve(socket)
        } catch let failure as StartFailure {
            failure.tell(answer)
            exit(failure.status)
        } catch {
            StandardError.print("mediated-bridge: It ends: \(error)")
            exit(70)
        }
    }

    private static var isCalled: Bool {
        [listener, answer].allSatisfy { fcntl($0, F_GETFD) >= 0 }
    }

    private static func serve(_ path: String) throws {
        let listener: UnixListener
        let loop: EventLoop
        let server: VTestServer
        do throws(Errno) {
            listener = try UnixListener(adopting: Descriptor(owning: Self.listener), path: "")
            loop = try EventLoop()
            _ = fcntl(answer, F_SETFD, FD_CLOEXEC)
        } catch {
            throw StartFailure(.system(error), path)
        }
        do throws(DriverError) {
            let vGPU = try connect(to: path)
            do throws(Errno) {
                server = try VTestServer(
                    vGPU.driver, listener, connection: vGPU.connection, loop: loop, user: geteuid(), patience: patience
                ) { StandardError.print("mediated-bridge: \($0)") }
            } catch {
                throw DriverError.system(error)
            }
        } catch {
            throw StartFailure(error, path)
        }
        do throws(Sandbox.Failure) {
            _ = try Sandbox.confine(limits: ResourceLimit.ofBridge) { () throws(Errno) in try loop.startThreads() }
        } catch {
            throw StartFailure(status: 71, "The bridge can't be confined. \(error)")
        }
        StartFailure.none.tell(answer)
        try server.run()
    }

    private struct ConnectedVGPU: ~Copyable {
        let driver: VirtioGPUDriver
        /// To hear of its end.
        let connection: Descriptor
    }

    /// Waits for the client before this one to go, which may be the bridge before this one.
    private static func connect(to path: String) throws(DriverError) -> ConnectedVGPU {
        let deadline = Deadline(after: departure)
        while true {
            do throws(DriverError) {
                return try attempt(path)
            } catch {
                guard case .client(.refused(_, .resourceBusy)) = error, !deadline.hasPassed else { throw error }
                usleep(50_000)
            }
        }
    }

    private static func attempt(_ path: String) throws(DriverError) -> ConnectedVGPU {
        let socket = try socket(path)
        let connection = try duplicate(socket)
        return ConnectedVGPU(driver: try driver(socket), connection: connection)
    }

    private static func socket(_ path: String) throws(DriverError) -> UnixSocket {
        do throws(Errno) {
            // Of no lane, which would start threads: what comes from the vGPU concerns nobody else.
            return UnixSocket(
                owning: Descriptor(owning: try UnixSocket(connectingTo: path, within: departure).relinquish()))
        } catch {
            throw .client(.system(error))
        }
    }

    private static func duplicate(_ socket: borrowing UnixSocket) throws(DriverError) -> Descriptor {
        do throws(Errno) { return try socket.descriptor.duplicate() } catch { throw .system(error) }
    }

    private static func driver(_ socket: consuming UnixSocket) throws(DriverError) -> VirtioGPUDriver {
        let client: Client
        do throws(ClientError) { client = try Client(socket) } catch { throw .client(error) }
        return try VirtioGPUDriver(client)
    }
}
