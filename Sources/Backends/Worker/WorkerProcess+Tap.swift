import Tap

/// What the worker is told and answers is a door of the device's, and in sight of its tap: each message as its kind, a
/// `UInt32`, and its payload. What the worker does by itself in shared memory isn't.
extension WorkerProcess {
    func show(_ request: Request) {
        guard let tap = tap() else { return }
        var payload = PayloadWriter()
        let kind =
            switch request {
            case .command(let command): command.encode(into: &payload)
            case .window(let command): command.encode(into: &payload)
            }
        Self.show(.sent(name), kind, payload.bytes, to: tap)
    }

    func show(_ answer: MessageConsumer.Header) {
        guard let tap = tap(), let payload = session?.replies.payload else { return }
        Self.show(.received(name), answer.kind, payload, to: tap)
    }

    private static func show(_ passage: Passage, _ kind: UInt32, _ payload: [UInt8], to tap: any Tap) {
        var message = PayloadWriter()
        message.put(kind)
        tap.note(passage, (message.bytes + payload).span.bytes)
    }
}
