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
    /// The most memory that all programs together share with the device, in bytes.
    private static let maximumShared: UInt64 = 8 << 30
    /// How much memory is taken from the device in a turn.
    private static let unsharesAtATime = 8

    private var pending: [UInt64: Pending] = [:]
    private var nextToken: UInt64 = 1
    private var conversations: [UInt64: Conversation] = [:]
    private var nextConversation: UInt64 = 0
    private var contexts = Numbers()
    private var resources = Numbers()
    /// What is to be taken away when there is room in the queue.
    private var farewells: [Farewell] = []
    /// What the device doesn't use any more.
    private var unused: [SharedMemory] = []
    private var shared: UInt64 = 0

    public init(_ device: any GraphicsDevice) {
        self.device = device
    }

    // MARK: Programs

    /// nil when there are as many as there may be.
    public func begin() -> Conversation? {
        guard conversations.count < Self.maximumConversations else { return nil }
        nextConversation += 1
        let conversation = Conversation(nextConversation, self)
        conversations[nextConversation] = conversation
        return conversation
    }

    /// A program has gone. All that was its goes.
    public func end(_ conversation: Conversation) {
        guard conversations.removeValue(forKey: conversation.number) != nil else { return }
        conversation.leave()
    }

    /// How many programs there are.
    public var count: Int { conversations.count }

    // MARK: Commands

    func send(_ command: GPUCommand, _ work: Work, of conversation: UInt64) {
        let token = nextToken
        nextToken += 1
        pending[token] = Pending(conversation: conversation, work: work)
        device.send(command, token: token)
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
    public var isUntidy: Bool { !unused.isEmpty || !farewells.isEmpty && hasRoomForFarewell }

    private var hasRoomForFarewell: Bool { device.hasRoom(for: 2, stream: Self.noOperation.count) }

    /// Takes away some of what programs have left.
    ///
    /// - Throws: what ends the driver.
    public func tidy() throws(DriverError) {
        var count = 0
        while count < farewells.count, hasRoomForFarewell {
            switch farewells[count] {
            case .resource(let id, let memory, let context): destroyResource(id, memory, of: context)
            case .context(let id): send(.destroyContext(id: id), .contextGone(id), of: 0)
            }
            count += 1
        }
        farewells.removeFirst(count)
        for _ in 0..<min(unused.count, Self.unsharesAtATime) {
            let memory = unused.removeFirst()
            shared -= memory.size
            try device.unshare(memory)
        }
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
    func destroyResource(_ id: UInt32, _ memory: SharedMemory?, of context: UInt32) {
        send(.submit(context: context, stream: Self.noOperation), .contextMadeCurrent, of: 0)
        send(.destroyResource(id: id), .resourceGone(id, memory), of: 0)
    }

    // MARK: Numbers and memory

    func takeContext() -> UInt32 { contexts.take() }
    func takeResource() -> UInt32 { resources.take() }

    /// - Returns: nil when there is no more, for this or another reason that passes.
    /// - Throws: what ends the driver.
    func share(_ size: UInt32) throws(DriverError) -> SharedMemory? {
        guard UInt64(size) <= Self.maximumShared - shared else { return nil }
        do throws(DriverError) {
            let memory = try device.share(Int(size))
            shared += memory.size
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

/// Numbers from 1 on, the lowest that is free first.
private struct Numbers {
    private var next: UInt32 = 1
    private var free: [UInt32] = []

    mutating func take() -> UInt32 {
        if let number = free.popLast() { return number }
        defer { next += 1 }
        return next
    }

    mutating func giveBack(_ number: UInt32) { free.append(number) }
}
