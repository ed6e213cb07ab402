import DaemonAPI
import NIOCore
import NIOHTTP1

/// One connection: requests come one after the other, and each is answered before the next one counts.
struct HTTPConnection: Sendable {
    /// The most bytes of a request's body: a definition has some hundred.
    static let bodyLimit = 1 << 20
    /// How long the client may take to read an answer and send the next request whole, and so how long a connection may
    /// be idle.
    static let patience = TimeAmount.seconds(60)

    typealias Stream = NIOAsyncChannel<NIOHTTPServerRequestFull, HTTPResponse>

    let stream: Stream
    let respond: @Sendable (HTTPRequest) async throws(Problem) -> HTTPResponse

    /// What lies between the bytes and ``Stream``.
    static func configure(_ channel: any Channel) -> EventLoopFuture<Stream> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline()
            try pipeline.addHandlers(
                NIOHTTPServerRequestAggregator(maxContentLength: bodyLimit), HTTPResponseWriter())
            return try Stream(wrappingChannelSynchronously: channel)
        }
    }

    /// Serves until the client leaves, asks to close, sends nonsense, or takes too long.
    func run() async {
        // A client that goes away in the middle is no error of ours.
        try? await stream.executeThenClose { inbound, _ in
            let channel = stream.channel
            func closeLater() -> Scheduled<Void> {
                channel.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
            }
            var deadline = closeLater()
            defer { deadline.cancel() }
            for try await request in inbound {
                deadline.cancel()
                let response = await response(to: request)
                deadline = closeLater()
                // Until all of it is sent, and not only as far as there is room: what is left would go with the
                // connection. A client that reads nothing never makes room.
                try await channel.writeAndFlush(response).get()
                guard request.head.isKeepAlive else { return }
            }
        }
    }

    private func response(to full: NIOHTTPServerRequestFull) async -> HTTPResponse {
        var response: HTTPResponse
        do throws(Problem) {
            response = try await respond(HTTPRequest(full))
        } catch {
            response = HTTPResponse(error)
        }
        if let contentType = response.contentType {
            response.headers.append(("content-type", contentType))
            response.headers.append(("content-length", "\(response.body.count)"))
        }
        if full.head.method == .HEAD { response.body = [] }
        if !full.head.isKeepAlive { response.headers.append(("connection", "close")) }
        return response
    }
}

/// Takes a whole answer into the parts that the encoder wants.
private final class HTTPResponseWriter: ChannelOutboundHandler {
    typealias OutboundIn = HTTPResponse
    typealias OutboundOut = HTTPServerResponsePart

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let response = unwrapOutboundIn(data)
        let head = HTTPResponseHead(
            version: .http1_1, status: response.status,
            headers: HTTPHeaders(response.headers.map { ($0.name, $0.value) }))
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !response.body.isEmpty {
            let body = context.channel.allocator.buffer(bytes: response.body)
            context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: promise)
    }
}
