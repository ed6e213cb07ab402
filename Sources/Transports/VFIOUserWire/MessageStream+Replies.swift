import Linux
import VFIO

/// Replies that are awaited while a message is in hand.
extension MessageStream {
    /// Receives until the reply to command `id` is there. Commands that arrive meanwhile stay in their
    /// order for ``next()``; other replies are dropped.
    ///
    /// The reply lies behind the message in hand. ``discard(_:)`` takes it out again.
    ///
    /// - Parameter deadline: holds for the whole reply, whatever else the peer sends.
    public func awaitReply(to id: UInt16, until deadline: Deadline) throws(Failure) -> Message {
        // With no message in hand, receiving may move the bytes: what was passed over counts from the start.
        var passed = max(inHand, start) - start
        while true {
            if let reply = try passOver(&passed, upToReply: id) { return reply }
            do throws(Errno) {
                let left = deadline.left
                guard left != .zero, try socket.waitReadable(within: left) else { throw Errno.timedOut }
            } catch {
                throw error == .timedOut ? .timedOut : .system(error)
            }
            try fillAvailable()
        }
    }

    /// Looks through what has arrived since the last time, and drops replies that nobody waits for. Each byte is moved
    /// at most twice, however many there are.
    ///
    /// - Parameter passed: how many bytes from ``start`` on are looked through already.
    /// - Returns: the reply to command `id`; nil when it isn't there.
    private func passOver(_ passed: inout Int, upToReply id: UInt16) throws(Failure) -> Message? {
        var position = start + passed
        // Where the next message goes that is kept.
        var target = position
        defer {
            passed = target - start
            close(target..<position)
        }
        while let message = try message(at: position) {
            let isReply = message.header.type == .reply
            guard !isReply || message.header.id == id else {
                if !batches.isEmpty { batches.removeAll { $0.position == position } }
                position = message.range.upperBound
                continue
            }
            let gap = position - target
            if gap > 0 {
                buffer.move(message.range, to: target)
                for batch in batches where batch.position == position { batch.position = target }
            }
            position = message.range.upperBound
            if isReply {
                close(target + message.range.count..<position)
                position = target
                return Message(header: message.header, range: target..<target + message.range.count)
            }
            target += message.range.count
        }
        return nil
    }

    /// Moves what is behind a range to its beginning.
    private func close(_ gap: Range<Int>) {
        guard !gap.isEmpty else { return }
        buffer.move(gap.upperBound..<end, to: gap.lowerBound)
        end -= gap.count
        for batch in batches where batch.position >= gap.upperBound { batch.position -= gap.count }
    }

    /// Takes a message that is not in hand out of the stream.
    public func discard(_ message: Message) {
        if !batches.isEmpty { batches.removeAll { $0.position == message.range.lowerBound } }
        close(message.range)
    }
}
