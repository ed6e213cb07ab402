import CFloor
import Glibc
import Linux
import VFIO

/// What a client asks, one question after the other.
struct Exchange {
    /// What a client sends at a time, and how much it gets.
    struct Question {
        let request: [UInt8]
        /// How much of the request one system call sends, in bytes.
        var messageSize: Int
        let replySize: Int
        /// How many replies these are, each to as many bytes of the request.
        var replies = 1
    }

    let questions: [Question]

    private init(_ questions: [Question]) {
        self.questions = questions
    }

    private init(request: [UInt8], messageSize: Int? = nil, replySize: Int) {
        questions = [Question(request: request, messageSize: messageSize ?? request.count, replySize: replySize)]
    }

    /// What answers it with nothing of ours.
    ///
    /// - Parameter kind: how it waits.
    func floor(_ kind: floor_kind = floor_sleeps) throws -> Floor {
        try Floor(
            questions.map { step(request_size: $0.request.count / $0.replies, reply_size: $0.replySize / $0.replies) },
            kind)
    }

    /// VFIO_USER_REGION_READ
    static func read(region: UInt32, offset: UInt64, count: Int) -> Exchange {
        Exchange(
            request: message(.regionRead, region, offset, count, data: 0),
            replySize: MessageHeader.size + RegionAccess.size + count)
    }

    /// VFIO_USER_REGION_WRITE
    static func write(region: UInt32, offset: UInt64, count: Int) -> Exchange {
        Exchange(
            request: message(.regionWrite, region, offset, count, data: count),
            replySize: MessageHeader.size + RegionAccess.size)
    }

    /// Writes that want no answer, sent one by one, and a read that shows that all were done.
    static func postedWrites(_ number: Int, region: UInt32, offset: UInt64) -> Exchange {
        let write = message(.regionWrite, region, offset, 4, data: 4, flags: .noReply)
        let read = Exchange.read(region: region, offset: offset, count: 4)
        return Exchange(
            request: (0..<number).flatMap { _ in write } + read.questions[0].request, messageSize: write.count,
            replySize: read.questions[0].replySize)
    }

    /// So many of each question sent one by one, before the first reply is looked for.
    func pipelined(_ depth: Int) -> Exchange {
        Exchange(
            questions.map { question in
                Question(
                    request: (0..<depth).flatMap { _ in question.request }, messageSize: question.messageSize,
                    replySize: depth * question.replySize, replies: depth)
            })
    }

    /// A map and its unmapping, of memory without a descriptor.
    ///
    /// - Parameter isPosted: the client doesn't wait for the first, which isn't answered.
    static func mapPair(address: UInt64, isPosted: Bool) -> Exchange {
        let map = wire(.dmaMap, isPosted ? .noReply : []) {
            DMAMap(flags: [.read, .write], address: address, length: 4096).write(into: &$0)
        }
        let unmap = wire(.dmaUnmap, []) { DMAUnmap(address: address, length: 4096).write(into: &$0) }
        if isPosted { return Exchange(request: map + unmap, messageSize: map.count, replySize: unmap.count) }
        return Exchange([
            Question(request: map, messageSize: map.count, replySize: MessageHeader.size),
            Question(request: unmap, messageSize: unmap.count, replySize: unmap.count),
        ])
    }

    private static func wire(
        _ command: Command, _ flags: MessageHeader.Flags, _ body: (inout MutableRawSpan) -> Int
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 256)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        var payload = raw._mutatingExtracting(MessageHeader.size..<256)
        let count = body(&payload)
        MessageHeader(command, id: 1, payload: count, flags: flags).write(into: &raw)
        return Array(bytes.prefix(MessageHeader.size + count))
    }

    private static func message(
        _ command: Command, _ region: UInt32, _ offset: UInt64, _ count: Int, data: Int,
        flags: MessageHeader.Flags = []
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: MessageHeader.size + RegionAccess.size + data)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        MessageHeader(command, id: 1, payload: RegionAccess.size + data, flags: flags).write(into: &raw)
        RegionAccess(region: region, offset: offset, count: UInt32(count)).write(into: &raw, at: MessageHeader.size)
        return bytes
    }

    /// How long each of `times` exchanges took, in nanoseconds.
    func measure(_ socket: Int32, times: Int) throws -> [UInt32] {
        var nanoseconds = [UInt32](repeating: 0, count: times)
        var reply = [UInt8](repeating: 0, count: questions.map(\.replySize).max() ?? 0)
        // One after the other, as the questions refer to it.
        let requests = questions.flatMap(\.request)
        let result = requests.withUnsafeBytes { requests in
            var start = 0
            let questions = questions.map { question in
                defer { start += question.request.count }
                return CFloor.question(
                    request: requests.baseAddress! + start, request_size: question.request.count,
                    message_size: question.messageSize, reply_size: question.replySize)
            }
            return floor_measure(socket, questions, questions.count, &reply, times, &nanoseconds)
        }
        guard result == 0 else { throw Errno(rawValue: -result) }
        return nanoseconds
    }
}
