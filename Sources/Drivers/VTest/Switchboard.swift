import Linux
import VirtioGPUDriver

/// What all programs on a vGPU share: the device, the numbers of contexts and resources, and what is in flight.
///
/// What a program leaves behind is taken away step by step, a little in each turn, so that nobody waits for it long.
public final class Switchboard {
    let device: any GraphicsDevice
    /// Takes a sentence for whoever looks for the reason of something.
    public var report: (String) -> Void = { _ in }

    /// Whether the server is wanted without a program, too.
    public internal(set) var stays = false

    /// What is to be done when the device has answered a command.
    enum Work {
        /// A part of the making of what a program waits for.
        case making
        /// Something that a program has asked for. A failure ends it.
        case asked
        /// A transfer. A failure is told, unless the context is lost.
        case transfer
        /// Memory for one transfer is needed no more.
        case returned(SharedMemory)
        /// Memory has what a program asked for.
        case fetched(SharedMemory, count: Int)
        /// Nobody waits for it.
        case contextMadeCurrent
        case resourceGone(UInt32, SharedMemory?)
        case contextGone(UInt32)
    }

    private struct Pending {
        let conversation: UInt64
        let work: Work
    }

    /// The most programs at a time, each of which has one context or none, yet.
    public static let maximumConversations = 64
    /// The most connections of one process.
    public static let maximumConnections = 8
    /// The most resources that a vGPU has.
    public static let maximumResources = 4096
    /// The most memory that all programs together share with the device, in bytes and in pieces: a device has its
    /// renderer map so many.
    private static let maximumShared: UInt64 = 8 << 30
    private static let maximumPieces = 4096
    /// How much memory is taken from the device in a turn, in pieces.
    private static let unsharesAtATime = 32
    /// With so many pieces that nobody needs, or so many bytes, no program goes on before the device has let go of them.
    public static let mostUnused = 256
    private static let mostUnusedBytes: UInt64 = 1 << 30

    private var pending: [UInt64: Pending] = [:]
    private var nextToken: UInt64 = 1
    private var conversations: [UInt64: Conversation] = [:]
    private var nextConversation: UInt64 = 0
    private var peers: [Int32: Peer] = [:]
    private var contexts = Numbers()
    private var resources = Numbers()
    /// What is to be taken away when there is room in the queue.
    private var farewells: [Farewell] = []
    /// What the device doesn't use any more.
    private var unused: [SharedMemory] = []
    private var shared: UInt64 = 0
    private var sharedPieces = 0
    /// Whether programs wait until all that was sent is answered, and what nobody needs is taken from the device.
    private var isSettling = false

    public init(_ device: any GraphicsDevice) {
        self.device = device
    }

    // MARK: Programs

    /// - Parameter process: the program's, in which it may have further connections.
    /// - Returns: nil when there are as many as there may be, or as many of that process's.
    public func begin(_ process: Int32) -> Conversation? {
        let peer = peers[process] ?? Peer(process)
        guard conversations.count < Self.maximumConversations, peer.connections < Self.maximumConnections else {
            return nil
        }
        peer.connections += 1
        peers[process] = peer
        nextConversation += 1
        let conversation = Conversation(nextConversation, peer, self)
        conversations[nextConversation] = conversation
        return conversation
    }

    /// A program has gone. All that was its goes.
    public func end(_ conversation: Conversation) {
        guard conversations.removeValue(forKey: conversation.number) != nil else { return }
        conversation.leave()
        conversation.peer.connections -= 1
        if conversation.peer.connections == 0 { peers[conversation.peer.process] = nil }
    }

    /// How many programs there are.
    public var count: Int { conversations.count }

    // MARK: Commands

    /// How many commands one message needs at most. One of them makes a context current.
    private static let commandsOfAMessage = 6

    /// Whether what a message may need can be sent now.
    ///
    /// - Parameter stream: the size of the stream that it brings, in bytes.
    func hasRoomForMessage(stream: Int) -> Bool {
        !isSettling && device.hasRoom(for: Self.commandsOfAMessage, stream: stream + GPUCommand.streamBlock)
    }

    func send(_ command: GPUCommand, _ work: Work, of conversation: UInt64) throws(DriverError) {
        let token = nextToken
        nextToken += 1
        try device.send(command, token: token)
        pending[token] = Pending(conversation: conversation, work: work)
    }

    /// The device has answered a command.
    public func take(_ response: GPUResponse, token: UInt64) {
        guard let answered = pending.removeValue(forKey: token) else { return }
        switch answered.work {
        case .resourceGone(let id, let memory):
            resources.giveBack(id)
            if let memory { unused.append(memory) }
        case .contextGone(let id): contexts.giveBack(id)
        case .returned(let memory): unused.append(memory)
        case .fetched(let memory, _) where conversations[answered.conversation] == nil: unused.append(memory)
        case .making, .asked, .transfer, .fetched, .contextMadeCurrent: break
        }
        conversations[answered.conversation]?.take(response, answered.work)
    }

    /// Whether something is still to be taken away that needs no answer first.
    public var isUntidy: Bool {
        !unused.isEmpty && pending.isEmpty || !farewells.isEmpty && hasRoomForFarewell
    }

    private var hasRoomForFarewell: Bool { device.hasRoom(for: 2, stream: Self.noOperation.count) }

    /// Takes away some of what programs have left.
    ///
    /// Memory is taken from the device only when that has nothing to do: a renderer lets go of it behind all that it was
    /// sent, and one that takes too long for it is ended, with the contexts of all programs.
    ///
    /// - Returns: whether programs had to wait for it, and may go on.
    /// - Throws: what ends the driver.
    @discardableResult
    public func tidy() throws(DriverError) -> Bool {
        var count = 0
        while count < farewells.count, hasRoomForFarewell {
            switch farewells[count] {
            case .resource(let id, let memory, let context): try destroyResource(id, memory, of: context)
            case .context(let id): try send(.destroyContext(id: id), .contextGone(id), of: 0)
            }
            count += 1
        }
        farewells.removeFirst(count)
        if unused.count >= Self.mostUnused || unused.reduce(0, { $0 + $1.size }) >= Self.mostUnusedBytes {
            isSettling = true
        }
        guard pending.isEmpty else { return false }
        for _ in 0..<min(unused.count, Self.unsharesAtATime) {
            let memory = unused.removeLast()
            shared -= memory.size
            sharedPieces -= 1
            try device.unshare(memory)
        }
        guard isSettling, unused.isEmpty else { return false }
        isSettling = false
        return true
    }

    /// What is taken away.
    enum Farewell {
        case resource(UInt32, SharedMemory?, context: UInt32)
        case context(UInt32)
    }

    /// Has something taken away later, behind all that was sent.
    func sayFarewell(_ farewell: Farewell) { farewells.append(farewell) }

    /// VIRGL_CCMD_NOP
    static let noOperation: [UInt8] = [0, 0, 0, 0]

    /// Takes a resource from the device, with its own context being the current one: virglrenderer deletes framebuffers
    /// of the resource's there, whose numbers mean another program's in another context.
    func destroyResource(_ id: UInt32, _ memory: SharedMemory?, of context: UInt32) throws(DriverError) {
        try send(.submit(context: context, stream: Self.noOperation), .contextMadeCurrent, of: 0)
        try send(.destroyResource(id: id), .resourceGone(id, memory), of: 0)
    }

    // MARK: Numbers and memory

    func takeContext() -> UInt32 { contexts.take() }
    func takeResource() -> UInt32 { resources.take() }

    /// Whether a program may have one more resource: as many as it leaves for others.
    func hasResource(for peer: Peer) -> Bool { peer.resources < Self.maximumResources - resources.count }

    /// - Returns: nil when there is no more, for this or another reason that passes.
    /// - Throws: what ends the driver.
    func share(_ size: UInt32) throws(DriverError) -> SharedMemory? {
        guard UInt64(size) <= Self.maximumShared - shared, sharedPieces < Self.maximumPieces else { return nil }
        do throws(DriverError) {
            let memory = try device.share(Int(size))
            shared += memory.size
            sharedPieces += 1
            return memory
        } catch {
            switch error {
            case .client(.refused), .system:
                report("A program gets no \(size) bytes of memory. \(error)")
                return nil
            default: throw error
            }
        }
    }

    /// The device has forgotten it, or has never known it.
    func discard(_ memory: SharedMemory) { unused.append(memory) }
}
