import Linux
import Text
import VirtioGPUDriver

/// What one program says and is answered, and what it has on the vGPU. It knows no socket.
///
/// All of it is a stranger's: numbers are looked up, sizes are bounded, and what can't be understood ends it.
public final class Conversation {
    let number: UInt64
    let board: Switchboard
    /// The process whose connection it is.
    let peer: Peer
    private var input: [UInt8] = []
    /// Where in it the next message begins.
    private var position = 0
    var output = Output()
    var attention = Attention.listening
    /// Why it has ended, as the end of a sentence; nil: it goes on.
    public private(set) var ending: String?

    var name: [UInt8]?
    var version: UInt32 = 0
    /// nil: none was needed yet.
    var context: UInt32?
    var resources: [UInt32: Resource] = [:]
    /// How many of its commands have no answer.
    var countInFlight = 0
    var hasComplained = false

    struct Resource {
        let id: UInt32
        let memory: SharedMemory?
    }

    /// What it does now.
    enum Attention {
        case listening
        /// A resource is made, of which so many steps have no answer.
        case making(UInt32, stepsLeft: Int, hasFailed: Bool)
        /// All that was sent is waited for.
        case waiting
        /// Something is read from the device.
        case fetching
        /// Bytes go to memory as they come, from `place` on.
        case filling(SharedMemory, VTestMessage.Transfer, place: Int, count: Int)
    }

    /// The most memory of a program's resources, in bytes.
    static let maximumShared: UInt64 = 2 << 30
    /// The most bytes of one transfer by socket.
    static let maximumTransfer: UInt32 = 64 << 20
    private static let maximumInFlight = 64
    /// The most answers that a program leaves unread.
    private static let maximumOutput = 64

    init(_ number: UInt64, _ peer: Peer, _ board: Switchboard) {
        self.number = number
        self.peer = peer
        self.board = board
    }

    // MARK: What comes

    /// Whether more bytes had better come now.
    public var wantsInput: Bool {
        guard ending == nil, !isFull else { return false }
        switch attention {
        case .listening, .filling: return input.count - position < Self.inputLimit
        case .making, .waiting, .fetching: return false
        }
    }

    private static let inputLimit = GPUCommand.maximumStream + VTestMessage.headerSize

    /// Whether it waits for the program to take answers.
    public var isFull: Bool { output.count >= Self.maximumOutput }

    /// Bytes from the program, which ``advance(by:)`` looks at.
    public func receive(_ bytes: RawSpan) {
        if bytes.byteCount > input.capacity - input.count {
            input.removeFirst(position)
            position = 0
            // Arrays grow to twice as much, which is more than is ever needed.
            let needed = input.count + bytes.byteCount
            if needed > Self.inputLimit / 2 { input.reserveCapacity(max(needed, Self.inputLimit * 5 / 4)) }
        }
        input.append(bytes)
    }

    /// Carries out messages, so many at most.
    ///
    /// - Returns: whether there may be more to do at once.
    /// - Throws: what ends the driver.
    public func advance(by count: Int) throws(DriverError) -> Bool {
        for _ in 0..<count {
            guard ending == nil, !isFull else { return false }
            switch attention {
            case .making, .waiting, .fetching: return false
            case .filling: guard try fill() else { return false }
            case .listening: guard try carryOutNext() else { return false }
            }
        }
        return true
    }

    /// - Returns: whether there was a message, and room for what it needs.
    private func carryOutNext() throws(DriverError) -> Bool {
        let available = input.count - position
        guard available >= VTestMessage.headerSize, countInFlight < Self.maximumInFlight else { return false }
        let message: VTestMessage
        do throws(VTestMessage.Malformed) {
            let number = input[position...].word(at: 4)
            let size = try VTestMessage.payloadSize(number, length: input[position...].word(at: 0))
            guard available - VTestMessage.headerSize >= size, board.hasRoomForMessage(stream: size) else {
                return false
            }
            let start = position + VTestMessage.headerSize
            message = try VTestMessage(number, input[start..<start + size])
            advanceInput(to: start + size)
        } catch {
            end("it has sent \(error)")
            return false
        }
        try carryOut(message)
        return ending == nil
    }

    private func advanceInput(to place: Int) {
        position = place
        if position == input.count {
            input.removeAll(keepingCapacity: input.capacity < Self.inputLimit)
            position = 0
        }
    }

    /// - Returns: whether any bytes were there, and room for what follows them.
    private func fill() throws(DriverError) -> Bool {
        guard case .filling(let memory, let transfer, let place, let count) = attention else { return false }
        let taken = min(input.count - position, count - place)
        guard taken > 0, board.hasRoomForMessage(stream: 0) else { return false }
        memory.file?.replace(at: place, with: input.span.bytes.extracting(position..<position + taken))
        advanceInput(to: position + taken)
        guard place + taken == count else {
            attention = .filling(memory, transfer, place: place + taken, count: count)
            return true
        }
        attention = .listening
        try put(transfer, from: memory, count: count)
        return true
    }

    func end(_ reason: String) {
        if ending == nil { ending = reason }
    }
}
