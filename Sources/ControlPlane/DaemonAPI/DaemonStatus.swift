/// The answer of `GET /v1/status`.
public struct DaemonStatus: Codable, Equatable, Sendable {
    public var version: String
    public var pid: Int32
    public var uptimeSeconds: Double

    public init(version: String, pid: Int32, uptimeSeconds: Double) {
        self.version = version
        self.pid = pid
        self.uptimeSeconds = uptimeSeconds
    }
}
