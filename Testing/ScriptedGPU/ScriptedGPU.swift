import CLinux
import Linux
import VTest
import VirtioGPUDriver

/// A vGPU that answers when it is told to, and knows what there is on it: what a driver must not do is a violation.
public final class ScriptedGPU: GraphicsDevice {
    public var capabilitySets = [
        CapabilitySet(id: 1, version: 1, contents: [UInt8](repeating: 1, count: 308)),
        CapabilitySet(id: 2, version: 2, contents: [UInt8](repeating: 2, count: 1000)),
    ]
    /// What it was sent, in its order.
    public private(set) var commands: [GPUCommand] = []
    /// The type of the answer to a command that is refused; nil: it is carried out.
    public var refusal: (GPUCommand) -> UInt32? = { _ in nil }
    /// How many commands it takes before it answers some.
    public var capacity = 64
    /// How many blocks of streams it takes before it answers some.
    public var blockCapacity = 128
    /// How many pieces of memory it takes.
    public var memoryLimit = 64
    /// What no driver may do.
    public private(set) var violations: [String] = []

    public private(set) var contexts: Set<UInt32> = []
    /// With the address of its backing.
    public private(set) var resources: [UInt32: UInt64?] = [:]
    public private(set) var memory: Set<UInt64> = []
    private var waiting: [(token: UInt64, command: GPUCommand)] = []
    private var nextAddress: UInt64 = 1 << 32

    public init() {}

    public var countInFlight: Int { waiting.count }

    public func hasRoom(for count: Int, stream: Int) -> Bool {
        waiting.count + count <= capacity
            && waiting.reduce(Self.blocks(stream)) { $0 + Self.blocks($1.command.streamSize) } <= blockCapacity
    }

    private static func blocks(_ size: Int) -> Int { (size + GPUCommand.streamBlock - 1) / GPUCommand.streamBlock }

    public func send(_ command: GPUCommand, token: UInt64) throws(DriverError) {
        guard hasRoom(for: 1, stream: command.streamSize) else { throw .queueFull }
        commands.append(command)
        waiting.append((token, command))
    }

    public func share(_ size: Int) throws(DriverError) -> SharedMemory {
        guard memory.count < memoryLimit else { throw .client(.refused(.dmaMap, .noMemory)) }
        do throws(Errno) {
            let shared = SharedMemory(address: nextAddress, file: try MemoryFile(name: "scripted", size: size))
            nextAddress += shared.size
            memory.insert(shared.address)
            return shared
        } catch {
            throw .system(error)
        }
    }

    public func unshare(_ memory: SharedMemory) {
        if self.memory.remove(memory.address) == nil { violations.append("memory was taken away twice") }
        if resources.values.contains(memory.address) { violations.append("memory was taken away in use") }
        if !waiting.isEmpty { violations.append("memory was taken away behind what may take long") }
    }

    /// Answers the commands that were sent first, so many at most, whatever comes of it.
    public func answer(_ count: Int = .max, to board: Switchboard) {
        for _ in 0..<min(count, waiting.count) {
            let (token, command) = waiting.removeFirst()
            let type = refusal(command) ?? (carryOut(command) ? 0x1100 : 0x1203)
            board.take(GPUResponse(type: type), token: token)
        }
    }

    private func carryOut(_ command: GPUCommand) -> Bool {
        switch command {
        case .createContext(let id, _):
            if !contexts.insert(id).inserted { violations.append("context \(id) is made twice") }
        case .destroyContext(let id): return contexts.remove(id) != nil
        case .createResource(let id, _):
            if resources[id] != nil { violations.append("resource \(id) is made twice") }
            resources[id] = .some(nil)
        case .destroyResource(let id): return resources.removeValue(forKey: id) != nil
        case .attachBacking(let id, let address, _):
            if !memory.contains(address) { violations.append("resource \(id) gets memory that isn't there") }
            guard resources[id] != nil else { return false }
            resources[id] = .some(address)
        case .detachBacking(let id):
            guard resources[id] != nil else { return false }
            resources[id] = .some(nil)
        case .attachResource(let context, let id): return contexts.contains(context) && resources[id] != nil
        case .transferToHost(let transfer), .transferFromHost(let transfer):
            return contexts.contains(transfer.context) && resources[transfer.resource] != nil
        case .submit(let context, _): return contexts.contains(context)
        case .capabilitySet, .capabilitySetInfo: break
        }
        return true
    }
}

extension GPUCommand {
    /// In bytes.
    fileprivate var streamSize: Int {
        if case .submit(_, let stream) = self { stream.count } else { 0 }
    }
}
