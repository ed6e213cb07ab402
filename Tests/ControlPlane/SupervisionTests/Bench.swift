import Database
import Foundation
import Glibc
import Linux
import Mediation
import Programs
import Synchronization
import Testing
import Waiting

@testable import Supervision

/// A database in memory that can be broken, and whose journal can be waited for.
final class ObservedStore: Store {
    struct Broken: Error {}

    /// A change that doesn't come to its end before it is let go.
    final class Hold: Sendable {
        fileprivate let kind: String
        private let (arrivals, arrival) = AsyncStream<Void>.makeStream()
        private let gate = DispatchSemaphore(value: 0)

        fileprivate init(_ kind: String) { self.kind = kind }

        /// On the store's thread.
        fileprivate func hold() {
            arrival.finish()
            gate.wait()
        }

        /// Waits until there is such a change.
        func isReached() async { for await _ in arrivals {} }

        func letGo() { gate.signal() }
    }

    private struct Observation {
        var isBroken = false
        var holds: [Hold] = []
        var adoptions: [[InstanceID?]] = []
        var refused: [Instance] = []
        var waitingForRefusal: [CheckedContinuation<Void, Never>] = []
        var waiting: [(kind: String, instance: InstanceID?, CheckedContinuation<JournalEntry, Never>)] = []
    }

    private let database: Database
    private let observation = Mutex(Observation())

    init() throws { database = try Database() }

    var isBroken: Bool {
        get { observation.withLock { $0.isBroken } }
        set { observation.withLock { $0.isBroken = newValue } }
    }

    /// Whom each change adopted that adopted anybody.
    var adoptions: [[InstanceID?]] { observation.withLock { $0.adoptions } }

    /// What couldn't be stored while it was broken.
    var refused: [Instance] { observation.withLock { $0.refused } }

    /// Holds the next change that has an entry of a kind, and all that come behind it: the disk hangs.
    func hold(_ kind: String) -> Hold {
        let hold = Hold(kind)
        observation.withLock { $0.holds.append(hold) }
        return hold
    }

    /// Waits for the next change that can't be stored, unless there was one.
    func refusal() async {
        await withCheckedContinuation { continuation in
            let isThere = observation.withLock { observation in
                if observation.refused.isEmpty { observation.waitingForRefusal.append(continuation) }
                return !observation.refused.isEmpty
            }
            if isThere { continuation.resume() }
        }
    }

    func instances() throws -> [Instance] { try database.instances() }
    func lastBoot() throws -> String? { try database.lastBoot() }
    func lastGeneration() throws -> Int { try database.lastGeneration() }

    func journal(after number: Int, instance: InstanceID?, limit: Int) throws -> [JournalEntry] {
        try database.journal(after: number, instance: instance, limit: limit)
    }

    func commit(_ change: StoreChange) throws -> [JournalEntry] {
        let hold: Hold? = observation.withLock { observation in
            let index = observation.holds.firstIndex { hold in change.entries.contains { $0.kind == hold.kind } }
            return index.map { observation.holds.remove(at: $0) }
        }
        hold?.hold()
        let (entries, told) = try observation.withLock { observation in
            guard !observation.isBroken else {
                observation.refused += change.saved
                for waiting in observation.waitingForRefusal { waiting.resume() }
                observation.waitingForRefusal = []
                throw Broken()
            }
            let entries = try database.commit(change)
            let adopted = entries.filter { $0.kind == "adopted" }.map(\.instance)
            if !adopted.isEmpty { observation.adoptions.append(adopted) }
            var told: [(CheckedContinuation<JournalEntry, Never>, JournalEntry)] = []
            observation.waiting.removeAll { kind, id, continuation in
                guard let entry = entries.first(where: { $0.kind == kind && (id == nil || $0.instance == id) }) else {
                    return false
                }
                told.append((continuation, entry))
                return true
            }
            return (entries, told)
        }
        for (continuation, entry) in told { continuation.resume(returning: entry) }
        return entries
    }

    /// Waits for an entry behind number `after`.
    func entry(_ kind: String, of instance: InstanceID? = nil, after number: Int = 0) async -> JournalEntry {
        await withCheckedContinuation { continuation in
            let present: JournalEntry? = observation.withLock { observation in
                let entries = try? database.journal(after: number, instance: instance, limit: .max)
                let found = entries?.first { $0.kind == kind }
                if found == nil { observation.waiting.append((kind, instance, continuation)) }
                return found
            }
            if let present { continuation.resume(returning: present) }
        }
    }

    /// As a daemon of another time has left it.
    func replace(_ instance: Instance, boot: String? = nil) throws {
        try database.commit(StoreChange(saved: [instance], boot: boot))
    }
}

/// A manager with folders of its own. What it has started ends with it.
final class Bench {
    let root: String
    let store: ObservedStore
    private(set) var manager: Manager

    static var catalogue: Catalogue {
        get throws {
            Catalogue(
                parents: [
                    Parent(name: "cpu", description: "This host's processor", videoMemory: 64 << 20),
                    Parent(name: "software", description: "OpenGL", videoMemory: 64 << 20, renderer: .software),
                ],
                types: try Catalogue.builtInTypes())
        }
    }

    /// - Parameter configure: changes how the manager is configured.
    init(configure: (inout Manager.Configuration) -> Void = { _ in }) throws {
        store = try ObservedStore()
        root = "/tmp/mediation-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try Directories(root: root).make()
        manager = try Self.manager(root, store, nil, configure)
    }

    deinit {
        // What can't be written down isn't started in the place of what ends here.
        store.isBroken = true
        for instance in (try? store.instances()) ?? [] {
            try? instance.process?.handle().send(SIGKILL)
        }
        // A state that is being saved may be put there meanwhile.
        let deadline = Deadline(after: .seconds(10))
        while FileManager.default.fileExists(atPath: root), !deadline.hasPassed {
            try? FileManager.default.removeItem(atPath: root)
        }
    }

    private static func manager(
        _ root: String, _ store: ObservedStore, _ catalogue: Catalogue? = nil,
        _ configure: (inout Manager.Configuration) -> Void = { _ in }
    ) throws -> Manager {
        var configuration = Manager.Configuration(
            program: try Program.folder.appendingPathComponent("mediated-device").path)
        configuration.checkpointInterval = .milliseconds(1)
        configure(&configuration)
        return try Manager(
            catalogue: try catalogue ?? Self.catalogue, directories: Directories(root: root), store: store,
            configuration: configuration)
    }

    /// Another manager over the same store and folders, as if the first had been killed.
    ///
    /// - Parameters:
    ///   - catalogue: what an administrator has made of it meanwhile.
    ///   - configure: changes how it is configured.
    func replaceManager(
        _ catalogue: Catalogue? = nil, configure: (inout Manager.Configuration) -> Void = { _ in }
    ) throws {
        manager = try Self.manager(root, store, catalogue, configure)
    }

    var directories: Directories { Directories(root: root) }

    /// Waits until a saved state holds the digits of a number.
    func awaitSavedState(of id: InstanceID, holding number: UInt32) async throws {
        let (folder, digits) = ("\(root)/state/vgpu", Data("\(number)".utf8))
        try await blocking {
            try awaitChanges(in: folder) {
                FileManager.default.contents(atPath: "\(folder)/\(id).state")?.range(of: digits) != nil
            }
        }
    }

    /// Defines and starts a vGPU.
    func started(
        _ type: String = "exerciser", _ attributes: [Attribute] = [], of parent: String = "cpu"
    ) async throws -> Instance {
        let id = InstanceID()
        _ = try await manager.define(Instance(id: id, parent: parent, type: type, attributes: attributes))
        return try await manager.start(id)
    }
}

/// Expects a refusal.
func expectError(
    _ code: MediationError.Code, _ words: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async {
    do {
        try await body()
        Issue.record("It was not refused.", sourceLocation: sourceLocation)
    } catch let error as MediationError {
        #expect(error.code == code, sourceLocation: sourceLocation)
        #expect(error.description.contains(words), "\(error)", sourceLocation: sourceLocation)
    } catch {
        Issue.record(error, sourceLocation: sourceLocation)
    }
}
