import Linux
import Synchronization

/// The driver's side of a split virtqueue, with the memory that its requests and responses take. VIRTIO 1.2, section
/// 2.7
///
/// All of it is one memory file. A request's structure and its response lie beside the descriptor that begins the
/// chain; the stream of a request lies in blocks, each with a descriptor of its own. What the device writes is believed
/// nothing: a chain that isn't in flight ends the driver.
struct DriverQueue {
    static let size = 512
    /// The longest capability set that there is room for, with its header.
    static let largeResponse = 4096

    private static let block = GPUCommand.streamBlock
    private static let blockCount = 128
    /// Of a request's structure, and of a response.
    private static let slot = 128
    private static let page = 4096

    // Where what is in the memory.
    private static let descriptors = 0
    private static let available = descriptors + 16 * size
    private static let used = available + page
    private static let requests = used + 2 * page
    private static let responses = requests + slot * size
    private static let large = responses + slot * size
    private static let blocks = large + largeResponse
    static let memorySize = blocks + block * blockCount

    /// What is in flight, by the descriptor that begins it.
    private struct Chain {
        let token: UInt64
        let descriptors: [Int]
        let blocks: [Int]
        let responsePlace: Int
        let responseRoom: Int
    }

    private let memory: MemoryFile
    /// The I/O virtual address of its first byte.
    private let address: UInt64
    private var freeDescriptors = Array((0..<size).reversed())
    private var freeBlocks = Array((0..<blockCount).reversed())
    private var chains: [Int: Chain] = [:]
    private var availableIndex: UInt16 = 0
    private var usedIndex: UInt16 = 0
    private(set) var hasUnnotified = false

    init(in memory: MemoryFile, at address: UInt64) {
        self.memory = memory
        self.address = address
    }

    var descriptorArea: UInt64 { address + UInt64(Self.descriptors) }
    var driverArea: UInt64 { address + UInt64(Self.available) }
    var deviceArea: UInt64 { address + UInt64(Self.used) }

    /// How many chains the device has.
    var countInFlight: Int { chains.count }

    /// Whether so many requests, with streams of so many bytes together, find room.
    func hasRoom(for count: Int, stream: Int) -> Bool {
        let blocks = (stream + Self.block - 1) / Self.block
        return freeBlocks.count >= blocks && freeDescriptors.count >= 2 * count + blocks
    }

    /// Makes a request available.
    ///
    /// - Parameter token: by which it comes back.
    /// - Throws: ``DriverError/queueFull`` when ``hasRoom(for:stream:)`` hasn't been asked, and it finds no room.
    mutating func add(_ command: GPUCommand, token: UInt64) throws(DriverError) {
        let request = command.request
        let stream = command.stream
        guard hasRoom(for: 1, stream: stream.count) else { throw .queueFull }
        let head = freeDescriptors.removeLast()
        var chain = [head]
        var taken: [Int] = []
        memory.replace(at: Self.requests + Self.slot * head, with: request.span.bytes)
        var pieces = [(Self.requests + Self.slot * head, request.count, false)]
        var position = 0
        while position < stream.count {
            let block = freeBlocks.removeLast()
            let count = min(Self.block, stream.count - position)
            let place = Self.blocks + Self.block * block
            memory.replace(at: place, with: stream.span.bytes.extracting(position..<position + count))
            taken.append(block)
            chain.append(freeDescriptors.removeLast())
            pieces.append((place, count, false))
            position += count
        }
        let room = GPUCommand.headerSize + command.payloadRoom
        let response = room <= Self.slot ? Self.responses + Self.slot * head : Self.large
        chain.append(freeDescriptors.removeLast())
        pieces.append((response, room, true))
        for (index, piece) in pieces.enumerated() {
            let isLast = index == pieces.count - 1
            let flags: UInt16 = (isLast ? 0 : 1) | (piece.2 ? 2 : 0)
            let place = Self.descriptors + 16 * chain[index]
            store(address + UInt64(piece.0), at: place)
            store(UInt32(piece.1), at: place + 8)
            store(flags, at: place + 12)
            store(UInt16(isLast ? 0 : chain[index + 1]), at: place + 14)
        }
        chains[head] = Chain(
            token: token, descriptors: chain, blocks: taken, responsePlace: response, responseRoom: room)
        store(UInt16(head), at: Self.available + 4 + 2 * (Int(availableIndex) % Self.size))
        availableIndex &+= 1
        atomicMemoryFence(ordering: .releasing)
        store(availableIndex, at: Self.available + 2)
        hasUnnotified = true
    }

    /// Whether the device is to be told of what was added since last asked.
    mutating func wantsNotification() -> Bool {
        guard hasUnnotified else { return false }
        hasUnnotified = false
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return load(UInt16.self, at: Self.used) & 1 == 0
    }

    /// The next request that the device has answered, by its token; nil when there is none.
    mutating func take() throws(DriverError) -> (token: UInt64, response: GPUResponse)? {
        let reached = load(UInt16.self, at: Self.used + 2)
        guard reached != usedIndex else { return nil }
        guard Int(reached &- usedIndex) <= chains.count else {
            throw .device("The device says to have answered what it was not asked.")
        }
        atomicMemoryFence(ordering: .acquiring)
        let element = Self.used + 4 + 8 * (Int(usedIndex) % Self.size)
        let head = Int(load(UInt32.self, at: element))
        let count = Int(load(UInt32.self, at: element + 4))
        guard let chain = chains.removeValue(forKey: head) else {
            throw .device("The device has answered descriptor \(head), which it doesn't have.")
        }
        usedIndex &+= 1
        freeDescriptors += chain.descriptors.reversed()
        freeBlocks += chain.blocks
        let size = min(count, chain.responseRoom)
        guard size >= GPUCommand.headerSize else { return (chain.token, GPUResponse(type: 0)) }
        var bytes = [UInt8](repeating: 0, count: size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        memory.copy(at: chain.responsePlace, count: size, into: &raw)
        return (
            chain.token,
            GPUResponse(type: bytes.littleEndian(UInt32.self, at: 0), payload: Array(bytes[GPUCommand.headerSize...]))
        )
    }

    private func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at place: Int) {
        let number: InlineArray<1, Value> = [value.littleEndian]
        memory.replace(at: place, with: number.span.bytes)
    }

    private func load<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type, at place: Int) -> Value {
        var number: InlineArray<1, Value> = [0]
        var span = number.mutableSpan
        var raw = span.mutableBytes
        memory.copy(at: place, count: MemoryLayout<Value>.size, into: &raw)
        return Value(littleEndian: number[0])
    }
}

extension [UInt8] {
    /// A number from `position` on; 0 where the bytes end before it does.
    func littleEndian<Value: FixedWidthInteger>(_: Value.Type, at position: Int) -> Value {
        let size = MemoryLayout<Value>.size
        guard position >= 0, position <= count, size <= count - position else { return 0 }
        return (0..<size).reduce(0) { $0 | Value(truncatingIfNeeded: self[position + $1]) << Value(8 * $1) }
    }
}
