import Foundation
import Glibc
import Mediation
import Synchronization
import Testing

/// What a manager stores, in memory: stands for a database where it doesn't matter that there is one.
final class MemoryStore: Store {
    private struct Contents {
        var instances: [Instance] = []
        var entries: [JournalEntry] = []
        var boot: String?
        var isBroken = false
        var waiting: [(kind: String, instance: InstanceID?, CheckedContinuation<JournalEntry, Never>)] = []
    }

    struct Broken: Error {}

    private let contents = Mutex(Contents())

    var isBroken: Bool {
        get { contents.withLock { $0.isBroken } }
        set { contents.withLock { $0.isBroken = newValue } }
    }

    func instances() throws -> [Instance] { contents.withLock { $0.instances } }
    func lastBoot() throws -> String? { contents.withLock { $0.boot } }

    func commit(_ change: StoreChange) throws -> [JournalEntry] {
        let (entries, told) = try contents.withLock { contents in
            guard !contents.isBroken else { throw Broken() }
            contents.instances.removeAll { instance in change.removed.contains(instance.id) }
            for instance in change.saved {
                if let index = contents.instances.firstIndex(where: { $0.id == instance.id }) {
                    contents.instances[index] = instance
                } else {
                    contents.instances.append(instance)
                }
            }
            if let boot = change.boot { contents.boot = boot }
            var numbered: [JournalEntry] = []
            for entry in change.entries {
                var entry = entry
                entry.number = contents.entries.count + 1
                contents.entries.append(entry)
                numbered.append(entry)
            }
            var told: [(CheckedContinuation<JournalEntry, Never>, JournalEntry)] = []
            contents.waiting.removeAll { kind, id, continuation in
                guard let entry = numbered.first(where: { $0.kind == kind && (id == nil || $0.instance == id) }) else {
                    return false
                }
                told.append((continuation, entry))
                return true
            }
            return (numbered, told)
        }
        for (continuation, entry) in told { continuation.resume(returning: entry) }
        return entries
    }

    func journal(after number: Int, instance: InstanceID?, limit: Int) throws -> [JournalEntry] {
        contents.withLock { contents in
            Array(
                contents.entries.filter { $0.number > number && (instance == nil || $0.instance == instance) }
                    .suffix(limit))
        }
    }

    /// Waits for an entry behind number `after`.
    func entry(_ kind: String, of instance: InstanceID? = nil, after number: Int = 0) async -> JournalEntry {
        await withCheckedContinuation { continuation in
            let present: JournalEntry? = contents.withLock { contents in
                let found = contents.entries.first {
                    $0.number > number && $0.kind == kind && (instance == nil || $0.instance == instance)
                }
                if found == nil { contents.waiting.append((kind, instance, continuation)) }
                return found
            }
            if let present { continuation.resume(returning: present) }
        }
    }

    /// As a daemon of another time has left it.
    func replace(_ instance: Instance, boot: String? = nil) {
        contents.withLock { contents in
            contents.instances.removeAll { $0.id == instance.id }
            contents.instances.append(instance)
            contents.boot = boot ?? contents.boot
        }
    }
}

/// A manager with folders of its own. What it has started ends with it.
final class Bench {
    let root: String
    let store = MemoryStore()
    private(set) var manager: Manager

    static var catalogue: Catalogue {
        get throws {
            Catalogue(
                parents: [Parent(name: "cpu", description: "This host's processor", videoMemory: 64 << 20)],
                types: try Catalogue.builtInTypes())
        }
    }

    /// Where the build has put the program: beside the tests.
    static var program: String {
        get throws {
            URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
                .deletingLastPathComponent().appendingPathComponent("mediated-device").path
        }
    }

    init() throws {
        root = "/tmp/mediation-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        manager = try Self.manager(root, store)
    }

    deinit {
        for instance in (try? store.instances()) ?? [] {
            if let process = instance.process, process.isAlive { kill(process.id, SIGKILL) }
        }
        try? FileManager.default.removeItem(atPath: root)
    }

    private static func manager(_ root: String, _ store: MemoryStore) throws -> Manager {
        var configuration = Manager.Configuration(program: try program)
        configuration.checkpointInterval = .milliseconds(1)
        return Manager(
            catalogue: try catalogue, directories: Directories(root: root), store: store, configuration: configuration)
    }

    /// Another manager over the same store and folders, as if the first had been killed.
    func replaceManager() throws {
        manager = try Self.manager(root, store)
    }

    var directories: Directories { Directories(root: root) }

    /// Defines and starts a vGPU.
    func started(_ type: String = "exerciser", _ attributes: [Attribute] = []) async throws -> Instance {
        let id = InstanceID()
        _ = try await manager.define(Instance(id: id, parent: "cpu", type: type, attributes: attributes))
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
