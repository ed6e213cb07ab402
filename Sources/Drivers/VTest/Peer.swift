/// A process, and what all its connections have.
final class Peer {
    let process: Int32
    var connections = 0
    var resources = 0
    /// The memory of its resources, in bytes.
    var shared: UInt64 = 0

    init(_ process: Int32) {
        self.process = process
    }
}
