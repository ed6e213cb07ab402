import DaemonAPI
import JSON
import Linux
import NIOCore
import NIOHTTP1
import NIOPosix

/// Asks the daemon: one request at a time, each on a connection of its own.
///
/// A method returns when the answer is there whole, so it isn't for asynchronous code.
public struct DaemonClient: Sendable {
    /// Where the daemon listens.
    public let path: String
    /// How long an answer may take, from connecting to its last byte.
    public var patience: Duration

    /// The most bytes of an answer: the largest is a screenshot.
    private static let answerLimit = 64 << 20
    /// Ends with the process.
    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// Doesn't connect yet.
    public init(path: String, patience: Duration = .seconds(60)) {
        self.path = path
        self.patience = patience
    }

    // MARK: Values

    /// - Parameter target: a path, and perhaps a query, percent-encoded.
    public func get<Answer: Decodable>(
        _ target: String, as type: Answer.Type = Answer.self
    ) throws(DaemonClientError) -> Answer {
        try Self.decode(try send(.GET, target).body)
    }

    /// JSON that is no value of ``DaemonAPI``: counters.
    public func json(_ target: String) throws(DaemonClientError) -> JSON {
        try Self.parse(try send(.GET, target).body)
    }

    /// What is no JSON: pictures, metrics.
    public func bytes(_ target: String) throws(DaemonClientError) -> [UInt8] {
        try send(.GET, target).body
    }

    public func post<Answer: Decodable>(
        _ target: String, as type: Answer.Type = Answer.self
    ) throws(DaemonClientError) -> Answer {
        try Self.decode(try send(.POST, target).body)
    }

    public func post<Answer: Decodable>(
        _ target: String, _ body: some Encodable, as type: Answer.Type = Answer.self
    ) throws(DaemonClientError) -> Answer {
        try Self.decode(try send(.POST, target, Content(body, type: "application/json")).body)
    }

    /// - Parameter change: a JSON Merge Patch. RFC 7396
    public func patch<Answer: Decodable>(
        _ target: String, _ change: some Encodable, as type: Answer.Type = Answer.self
    ) throws(DaemonClientError) -> Answer {
        let content = try Content(change, type: "application/merge-patch+json")
        return try Self.decode(try send(.PATCH, target, content).body)
    }

    public func put(_ target: String, _ body: some Encodable) throws(DaemonClientError) {
        _ = try send(.PUT, target, Content(body, type: "application/json"))
    }

    public func delete(_ target: String) throws(DaemonClientError) {
        _ = try send(.DELETE, target)
    }

    private static func decode<Answer: Decodable>(_ body: [UInt8]) throws(DaemonClientError) -> Answer {
        let json = try parse(body)
        do throws(JSONError) { return try json.decode() } catch { throw .malformed("\(error)") }
    }

    private static func parse(_ body: [UInt8]) throws(DaemonClientError) -> JSON {
        do throws(JSONError) { return try JSON(parsing: body) } catch { throw .malformed("\(error)") }
    }

    // MARK: Messages

    private struct Content {
        let type: String
        let bytes: [UInt8]

        init(_ value: some Encodable, type: String) throws(DaemonClientError) {
            do throws(JSONError) { bytes = Array(try JSON(encoding: value).text.utf8) } catch {
                throw .malformed("\(error)")
            }
            self.type = type
        }
    }

    private func send(
        _ method: HTTPMethod, _ target: String, _ content: Content? = nil
    ) throws(DaemonClientError) -> HTTPAnswer {
        var headers: HTTPHeaders = ["host": "localhost", "connection": "close"]
        if let content { headers.add(name: "content-type", value: content.type) }
        // Without content it says so: a server need not take that for granted. RFC 9110, section 8.6
        if content != nil || method == .POST {
            headers.add(name: "content-length", value: "\(content?.bytes.count ?? 0)")
        }
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: headers)
        let answer = try exchange(head, body: content?.bytes ?? [])
        guard !(200..<300).contains(answer.status) else { return answer }
        guard answer.contentType == Problem.contentType else {
            throw .malformed("status \(answer.status) without a reason")
        }
        throw .refused(try Self.decode(answer.body))
    }

    /// - Returns: a connected socket, from which only bytes come. It is the caller's to close.
    private func connect() throws(DaemonClientError) -> CInt {
        do throws(Errno) {
            let socket = try UnixSocket(connectingTo: path, within: patience)
            if socket.takesDescriptors() { return try BytePump.start(socket).relinquish() }
            return socket.relinquish()
        } catch {
            throw error == .resourceTemporarilyUnavailable ? .timedOut : .cannotConnect(path: path, error)
        }
    }

    private func exchange(_ head: HTTPRequestHead, body: [UInt8]) throws(DaemonClientError) -> HTTPAnswer {
        let loop = Self.group.next()
        let promise = loop.makePromise(of: HTTPAnswer.self)
        let timeOut = loop.scheduleTask(in: TimeAmount(patience)) { promise.fail(DaemonClientError.timedOut) }
        let socket = try connect()
        let connecting = ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandlers(
                        NIOHTTPClientResponseAggregator(maxContentLength: Self.answerLimit),
                        HTTPExchange(head, body: body, promise))
                }
            }
            .withConnectedSocket(socket)
        connecting.whenFailure { error in promise.fail(DaemonClientError(error)) }
        defer {
            timeOut.cancel()
            connecting.whenSuccess { channel in channel.close(promise: nil) }
        }
        do { return try promise.futureResult.wait() } catch { throw DaemonClientError(error) }
    }
}
