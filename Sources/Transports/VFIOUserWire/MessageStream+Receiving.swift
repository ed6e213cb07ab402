import Linux
import VFIO

/// How bytes and descriptors get into the buffer.
extension MessageStream {
    /// How many descriptors may wait with messages: half of what a process has, unless it was given more. So many
    /// only come while a reply is awaited.
    private static let maximumWaiting = 512

    /// How many bytes are received at most while nothing is there: a message of 64 KiB whole, and little of one of 1
    /// MiB, the rest of which may then go elsewhere.
    private static let firstBytes = 96 << 10

    /// How long what was sent before has to be closed, when nothing more may be taken before.
    private static let patienceWithLane = Duration.seconds(1)

    /// Receives what is there by an event loop, which runs handlers when nothing is.
    public func fill(in loop: EventLoop, isPolling: Bool) throws(Failure) {
        try makeRoom()
        do throws(Errno) {
            let received = try loop.receive(from: socket, isPolling: isPolling) { blocking throws(Errno) in
                try socket.receive(
                    into: buffer, from: end, limit: isEmpty ? Self.firstBytes : .max, descriptors: &arriving,
                    blocking: blocking)
            }
            try note(received, &arriving)
        } catch {
            throw error == .connectionReset ? .endOfFile : .system(error)
        }
    }

    /// Receives what is to come of the ``incomplete`` message as ``fill(in:isPolling:)`` does, but straight into memory
    /// that others may have mapped. The bytes are cut out of the message, which is whole without them.
    ///
    /// - Parameters:
    ///   - offset: where in `memory` the bytes go.
    ///   - count: how many are to come, at least 1.
    /// - Returns: how many have come.
    public func fill(
        _ memory: MappedBytes, at offset: Int, count: Int, in loop: EventLoop, isPolling: Bool
    ) throws(Failure) -> Int {
        try makeRoom()
        do throws(Errno) {
            let received = try loop.receive(from: socket, isPolling: isPolling) { blocking throws(Errno) in
                try socket.receive(
                    into: memory, at: offset, count: count, descriptors: &arriving, blocking: blocking)
            }
            guard case .bytes(let got, let hasDescriptors, let lost) = received else {
                try note(received, &arriving)
                return 0
            }
            shorten(by: got)
            if hasDescriptors || lost { assign(&arriving, isIncomplete: lost, arrivedIn: end..<end) }
            return got
        } catch {
            throw error == .connectionReset ? .endOfFile : .system(error)
        }
    }

    /// Cuts the last bytes that have arrived of the ``incomplete`` message out of it.
    public func cutArrived(_ count: Int) {
        end -= count
        shorten(by: count)
    }

    /// Has the incomplete message say that it has so many bytes less.
    private func shorten(by count: Int) {
        var header = MessageHeader(buffer.bytes(start..<end))
        header.messageSize -= UInt32(count)
        var bytes = buffer.mutableBytes(start..<end)
        header.write(into: &bytes)
    }

    /// Waits until something arrives here or on another stream, and takes what is there on both; or until an eventfd is
    /// signalled.
    ///
    /// - Returns: false when the time ran out.
    public func fill(
        alongside other: MessageStream?, or eventFD: EventFD? = nil, within limit: Duration?
    ) throws(Failure) -> Bool {
        var descriptors = [socket.descriptor.raw]
        if let other { descriptors.append(other.socket.descriptor.raw) }
        if let eventFD { descriptors.append(eventFD.descriptor.raw) }
        let isReady: [Bool]
        do throws(Errno) {
            isReady = try waitReadable(descriptors, within: limit)
        } catch {
            throw .system(error)
        }
        if isReady[0] { try fillAvailable() }
        if let other, isReady[1] { try other.fillAvailable() }
        return isReady.contains(true)
    }

    /// Receives what is there, also from a handler that an event loop runs amid ``fill(in:isPolling:)``.
    ///
    /// - Returns: whether anything was.
    @discardableResult
    public func fillAvailable() throws(Failure) -> Bool { try fill(isWaiting: false) }

    /// Waits until something arrives, and receives it.
    public func fill() throws(Failure) { _ = try fill(isWaiting: true) }

    private func fill(isWaiting: Bool) throws(Failure) -> Bool {
        try makeRoom()
        var descriptors = ReceivedDescriptors()
        do throws(Errno) {
            let received = try socket.receive(into: buffer, from: end, descriptors: &descriptors, blocking: isWaiting)
            try note(received, &descriptors)
            return received != .nothing
        } catch {
            throw error == .connectionReset ? .endOfFile : .system(error)
        }
    }

    /// With no message in hand, moves an incomplete one to the front when it would not fit behind.
    @inline(__always) private func makeRoom() throws(Failure) {
        if start > 0, inHand == start, buffer.count - start < maximumMessage {
            buffer.move(start..<end, to: 0)
            for batch in batches { batch.position -= start }
            (start, end, inHand) = (0, end - start, 0)
        }
        guard end < buffer.count, hasRoomForDescriptors,
            socket.hasRoomForDescriptors(within: Self.patienceWithLane)
        else { throw .overrun }
    }

    /// Takes account of what was received at ``end``.
    ///
    /// - Throws: `.connectionReset` when the peer has closed the connection.
    @inline(__always) private func note(
        _ received: UnixSocket.Received, _ descriptors: inout ReceivedDescriptors
    ) throws(Errno) {
        switch received {
        case .endOfFile: throw .connectionReset
        case .nothing: break
        case .bytes(let count, let hasDescriptors, let lost):
            let chunk = end..<end + count
            end += count
            if hasDescriptors || lost { assign(&descriptors, isIncomplete: lost, arrivedIn: chunk) }
        }
    }

    /// Descriptors belong to the last message that begins in the bytes they came with: the kernel
    /// glues earlier messages without descriptors in front of them and stops behind them.
    private func assign(
        _ descriptors: inout ReceivedDescriptors, isIncomplete: Bool, arrivedIn chunk: Range<Int>
    ) {
        var owner = start
        var position = start
        while position < chunk.upperBound {
            owner = position
            guard end - position >= MessageHeader.size else { break }
            let size = Int(MessageHeader(buffer.bytes(position..<end)).messageSize)
            guard size >= MessageHeader.size else { break }
            position += size
        }
        // A message has its descriptors at one of its bytes. More at others, in a message that never ends, would take
        // every descriptor that this process may have.
        if let batch = batches.last, batch.position == owner {
            batch.isIncomplete = true
            descriptors.removeAll()
            return
        }
        let batch = Batch(position: owner, isIncomplete: isIncomplete)
        swap(&batch.descriptors, &descriptors)
        batches.append(batch)
    }

    @inline(__always) private var hasRoomForDescriptors: Bool {
        batches.isEmpty
            || batches.reduce(0) { $0 + max($1.descriptors.count, 1) } <= Self.maximumWaiting
                - ReceivedDescriptors.capacity
    }
}
