import CFloor
import Glibc
import Linux
import VFIOUserClient

/// A `mediated-device` process, and a connection to it on which the versions are agreed, and on which messages go
/// out and come in as bare bytes.
final class DeviceUnderTest: Answering {
    let process: pid_t
    let connection: Descriptor
    var socket: Int32 { connection.raw }
    let client: Client
    let path: String
    /// One thread makes them all.
    private nonisolated(unsafe) static var made = 0
    /// From before the process was made until it accepted a connection.
    let startNanoseconds: Int64

    init(_ type: String, program: String) throws {
        Self.made += 1
        let socket = "/tmp/mediated-bench.\(getpid()).\(Self.made).sock"
        path = socket
        var arguments: [UnsafeMutablePointer<CChar>?] = []
        for word in [program, type, "--socket", socket] { arguments.append(strdup(word)) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var process: pid_t = 0
        var connected: Int32 = -1
        startNanoseconds = floor_start_device(program, &arguments, socket, &process, &connected)
        guard startNanoseconds >= 0 else { throw Errno(rawValue: Int32(-startNanoseconds)) }
        self.process = process
        connection = Descriptor(owning: connected)
        var configuration = Client.Configuration()
        configuration.capabilities.accessRing = nil
        client = try Client(UnixSocket(owning: connection.duplicate()), configuration: configuration)
        try client.setBusMaster(true)
    }

    /// A client of a second connection, when the first has left.
    func typedClient(_ configuration: Client.Configuration) throws -> Client {
        Glibc.shutdown(connection.raw, Int32(SHUT_RDWR))
        let client = try Client(path: path, configuration: configuration)
        try client.setBusMaster(true)
        return client
    }

    deinit {
        kill(process, SIGTERM)
        waitpid(process, nil, 0)
    }

    /// What the process occupies, in kilobytes: a field of `/proc/PID/smaps_rollup`.
    func memory(_ field: String) throws -> Double {
        let file = try Descriptor(reading: "/proc/\(process)/smaps_rollup")
        let text = String(decoding: try file.readBytes(upTo: 1 << 16), as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix(field + ":") } ?? ""
        return line.split(separator: " ").dropFirst().first.flatMap { Double($0) } ?? .nan
    }
}
