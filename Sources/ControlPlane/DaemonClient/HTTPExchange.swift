import NIOCore
import NIOHTTP1

/// An answer, whole.
struct HTTPAnswer: Sendable {
    let status: Int
    let contentType: String?
    let body: [UInt8]
}

/// One request and its answer. The promise is kept when the answer is there, or when none comes.
final class HTTPExchange: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPClientResponseFull
    typealias OutboundOut = HTTPClientRequestPart

    private let head: HTTPRequestHead
    private let body: [UInt8]
    private let promise: EventLoopPromise<HTTPAnswer>

    init(_ head: HTTPRequestHead, body: [UInt8], _ promise: EventLoopPromise<HTTPAnswer>) {
        self.head = head
        self.body = body
        self.promise = promise
    }

    func channelActive(context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !body.isEmpty {
            let buffer = context.channel.allocator.buffer(bytes: body)
            context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let response = unwrapInboundIn(data)
        promise.succeed(
            HTTPAnswer(
                status: Int(response.head.status.code), contentType: response.head.headers.first(name: "content-type"),
                body: response.body.map { Array($0.readableBytesView) } ?? []))
    }

    // A promise that is kept already stays as it is.

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is NIOHTTPObjectAggregatorEvent {
            promise.fail(DaemonClientError.malformed("it is too long"))
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise.fail(DaemonClientError.closed)
        context.fireChannelInactive()
    }
}
