import FakeGuest
import Glibc
import Linux
import Synchronization

@testable import Worker

/// What `RendererProcess` starts in place of mediated-renderer: the fuzzer's own program by another name, which hands
/// its end of the link back and ends. So both ends are in one process, and what one of them does to the other is
/// repeatable.
public enum StandIn {
    private static let name = "mediated-renderer"

    /// Does the launcher's part when this process was started for it, and nothing else that a fuzzer does at its end.
    static func runIfCalled() {
        guard CommandLine.arguments.first?.hasSuffix("/" + name) == true, CommandLine.arguments.count == 3 else {
            return
        }
        let link = Descriptor(owning: ChildProcess.firstDescriptor)
        let byte: [UInt8] = [0]
        do throws(Errno) {
            let socket = try UnixSocket(connectingTo: CommandLine.arguments[2])
            try socket.send(byte.span.bytes, descriptors: [link.raw], within: .seconds(10))
            _exit(0)
        } catch {
            _exit(1)
        }
    }

    /// Puts the name beside this program, where `CompanionProgram` looks for it.
    ///
    /// - Returns: the path.
    public static func install() throws(Errno) -> String {
        guard let executable = realpath("/proc/self/exe", nil) else { throw Errno(rawValue: errno) }
        defer { free(executable) }
        let program = String(cString: executable)
        let path = program[..<(program.lastIndex(of: "/") ?? program.startIndex)] + "/" + name
        // Any fuzzer will do; another one may be doing this as well.
        guard symlink(program, String(path)) == 0 || errno == EEXIST else { throw Errno(rawValue: errno) }
        return String(path)
    }
}

/// Where stand-ins hand over what they were given.
public final class StandInListener: Sendable {
    private let listener: UnixListener

    /// To be given to `RendererProcess` as its render node.
    public var path: String { listener.path }

    private static let made = Atomic<Int>(0)

    public init() throws(Errno) {
        let number = Self.made.add(1, ordering: .relaxed).newValue
        listener = try UnixListener(
            path: "/tmp/fuzz-renderer-\(getpid())-\(number).sock", takesDescriptors: true)
    }

    /// Waits for the stand-in.
    ///
    /// - Returns: the launcher's end of its link with the device process.
    public func accept() throws(Errno) -> UnixSocket {
        while true {
            _ = try waitReadable([listener.descriptor.raw], within: nil)
            guard let socket = try listener.accept() else { continue }
            var descriptors = ReceivedDescriptors()
            _ = try WorkerLink.receive(from: socket, &descriptors, blocking: true)
            guard let link = descriptors.take(0) else { continue }
            // No other comes, and libFuzzer ends without ending this object.
            unlink(path)
            return UnixSocket(owning: link)
        }
    }
}
