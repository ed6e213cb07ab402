import Glibc
import Linux
import VTest

/// A connection to the bridge of a vGPU, the process that drives it for programs of this user. While one is open the
/// bridge stays.
final class BridgeConnection {
    /// Where the bridge listens.
    let path: String
    private let socket: UnixSocket

    /// Where Mesa before 24.1 looks for its renderer.
    static let oldPath = "/tmp/.virgl_test"
    /// How long a bridge may take for an answer.
    private static let patience = Duration.seconds(10)
    /// How long another command may take for starting it.
    private static let startLimit = Duration.seconds(30)
    private static let name = Array("mediated".utf8)

    private init(_ path: String, _ socket: consuming UnixSocket) {
        self.path = path
        self.socket = socket
    }

    /// Finds the bridge, or starts one.
    ///
    /// - Parameter vGPU: the path of the vGPU's socket.
    static func open(toVGPU vGPU: String) throws(Failure) -> BridgeConnection {
        let files = try BridgeFolder().name(ofVGPU: vGPU)
        let path = files + ".vtest"
        if let socket = try connect(path) { return BridgeConnection(path, socket) }
        let lock = try lock(files + ".lock", of: vGPU)
        defer { withExtendedLifetime(lock) {} }
        // Somebody else may have been faster.
        if let socket = try connect(path) { return BridgeConnection(path, socket) }
        try BridgeStart(vGPU: vGPU, files: files).run(listeningAt: path)
        guard let socket = try connect(path) else {
            throw Failure(.software, "The bridge of '\(vGPU)' has ended at once: see '\(files).log'.")
        }
        return BridgeConnection(path, socket)
    }

    /// The bridge that runs; nil when there is none.
    static func existing(ofVGPU vGPU: String) throws(Failure) -> BridgeConnection? {
        let path = try BridgeFolder().name(ofVGPU: vGPU) + ".vtest"
        guard let socket = try connect(path) else { return nil }
        return BridgeConnection(path, socket)
    }

    /// One bridge is started at a time.
    private static func lock(_ path: String, of vGPU: String) throws(Failure) -> Descriptor {
        do throws(Errno) {
            let file = try Descriptor(appendingTo: path, mode: 0o600)
            try file.lock(within: startLimit)
            return file
        } catch {
            throw Failure(
                .unavailable, "Another command is starting the bridge of '\(vGPU)' and doesn't get on: \(error).")
        }
    }

    /// - Returns: nil when nobody listens, or who does is about to end.
    private static func connect(_ path: String) throws(Failure) -> UnixSocket? {
        do throws(Errno) {
            // Of no lane, which might start a thread.
            let socket = UnixSocket(
                owning: Descriptor(owning: try UnixSocket(connectingTo: path, within: patience).relinquish()))
            guard try socket.peer().uid == geteuid() else { throw Errno.permissionDenied }
            let hello = VTestNumber.createRenderer.message(text: name)
            try socket.send((hello + VTestNumber.ping.message()).span.bytes, within: patience)
            try awaitAnswer(.ping, on: socket)
            return socket
        } catch {
            switch error {
            case .noSuchFileOrDirectory, .connectionRefused, .brokenPipe, .connectionReset: return nil
            default: throw Failure(.unavailable, "The bridge at '\(path)' doesn't answer: \(error).")
            }
        }
    }

    private static func awaitAnswer(_ number: VTestNumber, on socket: borrowing UnixSocket) throws(Errno) {
        guard try socket.waitReadable(within: patience) else { throw .timedOut }
        let answer = try socket.descriptor.readOnce(upTo: 8)
        guard !answer.isEmpty else { throw .brokenPipe }
        guard answer == number.message() else { throw .protocolError }
    }

    /// What programs find it by.
    var environment: [(name: String, value: String)] {
        [("GALLIUM_DRIVER", "virpipe"), ("LIBGL_ALWAYS_SOFTWARE", "1"), ("VTEST_SOCKET_NAME", path)]
    }

    /// Says whether the bridge is wanted without a program, too.
    func setStays(_ stays: Bool) throws(Failure) {
        do throws(Errno) {
            try socket.send(VTestNumber.stay.message([stays ? 1 : 0]).span.bytes, within: Self.patience)
            try Self.awaitAnswer(.stay, on: socket)
        } catch {
            throw Failure(.unavailable, "The bridge at '\(path)' doesn't answer: \(error).")
        }
    }

    /// Keeps the connection open in the program that this process becomes, for as long as it lives.
    func keepOpen() { _ = fcntl(socket.descriptor.raw, F_DUPFD, ChildProcess.firstDescriptor) }
}
