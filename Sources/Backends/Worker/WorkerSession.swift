import Linux

/// The device process's end of a session with one worker: a socket and both rings.
final class WorkerSession {
    let socket: UnixSocket
    var commands: MessageProducer
    var replies: MessageConsumer
    /// On the answers' doorbell; without a launcher on the socket, whose hang-up is the worker's end.
    var watch: EventLoop.Token?

    /// Makes the socket and the rings, which wait at the worker's end.
    ///
    /// - Parameters:
    ///   - lane: where this end is closed.
    ///   - start: gives the worker's end to whoever starts the worker.
    init(closedIn lane: ClosingLane, start: (Int32) throws(Errno) -> Void) throws(Errno) {
        let pair = try UnixSocket.pair(keepsPackets: true, closedIn: lane)
        let commandRing = try MessageRing(capacity: WorkerLink.commandCapacity)
        let replyRing = try MessageRing(capacity: WorkerLink.replyCapacity)
        let commandDoorbell = try EventFD()
        let replyDoorbell = try EventFD()
        try WorkerLink.send(
            WorkerLink.hello,
            descriptors: [
                commandRing.memory.file.descriptor.raw, replyRing.memory.file.descriptor.raw,
                commandDoorbell.descriptor.raw, replyDoorbell.descriptor.raw,
            ], over: pair.first)
        // Last: once it is sent, the launcher owes word of an end.
        try start(pair.second.descriptor.raw)
        socket = pair.first
        commands = MessageProducer(commandRing, doorbell: commandDoorbell)
        replies = MessageConsumer(replyRing, doorbell: replyDoorbell)
    }
}
