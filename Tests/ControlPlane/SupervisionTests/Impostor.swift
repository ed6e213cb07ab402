import Glibc
import JSON
import Linux
import Mediation

/// A device process of no good will, as an earlier manager has left it: a process that does nothing, and a control
/// socket whose answers are the test's.
final class Impostor: Sendable {
    typealias Answer = @Sendable (_ request: String) -> JSON?

    let instance: Instance

    /// - Parameter answer: the result for a request; nil: none ever comes.
    init(in bench: Bench, answer: @escaping Answer) throws {
        let process = try ChildProcess.spawn("/bin/sleep", ["1000"], passing: [])
        var instance = Instance(id: InstanceID(), parent: "cpu", type: "serial")
        instance.state = .running
        instance.process = try ProcessIdentity(of: process)
        try bench.store.replace(instance, boot: ProcessIdentity.currentBoot())
        self.instance = instance
        let listener = try UnixListener(path: bench.directories.control(of: instance.id))
        _ = try Thread(name: "impostor") {
            while (try? waitReadable([listener.descriptor.raw], within: .seconds(600)).first) == true {
                guard let socket = try? listener.accept() else { return }
                let raw = socket.relinquish()
                _ = try? Thread(name: "connection") { Self.serve(UnixSocket(owning: Descriptor(owning: raw)), answer) }
            }
        }
    }

    private static func serve(_ socket: consuming UnixSocket, _ answer: Answer) {
        guard var incoming = try? LineBuffer(limit: 4096) else { return }
        var descriptors = ReceivedDescriptors()
        while let line = try? incoming.receiveLine(
            from: socket, until: Deadline(after: .seconds(600)), descriptors: &descriptors)
        {
            let request = (try? JSON(parsing: line))?["request"]?.string ?? ""
            guard let result = answer(request) else {
                _ = try? socket.waitReadable(within: .seconds(600))
                return
            }
            let reply: JSON = ["version": 1, "result": result]
            try? socket.send(Array((reply.text + "\n").utf8).span.bytes, within: .seconds(600))
        }
    }
}
