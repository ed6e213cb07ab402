import Control
import Glibc
import Linux

/// Knows all vGPUs and keeps the device processes of those that run.
///
/// Every change is in the ``Store`` before it is acknowledged, and a device process serves nobody before it is in there: so a
/// new manager finds all that an earlier one has started, however that one ended.
public actor Manager {
    public struct Configuration: Sendable {
        /// The path of mediated-device.
        public var program: String
        /// The user IDs under which device processes run, each under one of its own; nil: all run as the daemon's user, who
        /// isn't root.
        public var users: Range<UInt32>?
        /// How often the state of a vGPU in use is saved, for the case that its device process dies.
        public var checkpointInterval: Duration = .seconds(30)
        /// How long the process that writes a saved state may take.
        public var savingLimit: Duration = .seconds(30)
        /// The control group that vGPUs have theirs in, if it is delegated to this process; nil: they have none.
        public var controlGroup: ControlGroup?
        /// How many instances there may be at a time, running or not.
        public var mostInstances = 4096
        /// How long a device process may take to end in order; and after that to end when it is killed.
        public var endLimit: Duration = .seconds(5)
        /// How long a device process may take for an answer, and others may wait until it has time for them.
        public var answerLimit: Duration = .seconds(10)

        /// Beyond what distributions and containers use: systemd's "Users, Groups, UIDs and GIDs" lists what is taken.
        public static let standardUsers: Range<UInt32> = 0x7000_0000..<0x7fff_0000

        public init(program: String) {
            self.program = program
            users = geteuid() == 0 ? Self.standardUsers : nil
        }
    }

    let directories: Directories
    let configuration: Configuration
    let launcher: DeviceLauncher
    private let store: any Store
    public private(set) var catalogue: Catalogue
    private(set) var instances: [InstanceID: Instance] = [:]
    private var order: [InstanceID] = []
    var supervised: [InstanceID: Supervised] = [:]
    /// What running instances will be when their device processes have taken a change: nobody else is given that meanwhile.
    private var promised: [InstanceID: Instance] = [:]
    /// The number of the last start. ``Instance/generation``
    var lastGeneration = 0
    private let journalBell = Bell()
    /// When users were refused last.
    var refusals: [UInt32: ContinuousClock.Instant] = [:]
    /// One change of an instance at a time.
    let turns = Turns()
    /// One question to its device process at a time.
    let questions = Turns()

    /// A running vGPU's process, as this manager watches it.
    struct Supervised {
        let identity: ProcessIdentity
        let user: UInt32?
        let since: ContinuousClock.Instant
        let exit: ExitWatch
        let events: EventFollower?
        var backOff: BackOff
        /// Set while its end is waited for: whether it came.
        var onEnd: CheckedContinuation<Bool, Never>?
        /// Whether nobody wants another one in its place when it ends.
        var isToStop = false
        var checkpoints = CheckpointSchedule()
        /// Whether a client is connected, so that its state changes.
        var isInUse = false
        /// How much of what it tells is taken into the journal.
        var allowance = Allowance(20, at: SystemClock.nanoseconds)
    }

    public init(catalogue: Catalogue, directories: Directories, store: any Store, configuration: Configuration) {
        self.catalogue = catalogue
        self.directories = directories
        self.store = store
        self.configuration = configuration
        launcher = DeviceLauncher(
            program: configuration.program, directories: directories,
            groups: configuration.controlGroup.flatMap { DeviceGroups($0, of: getpid()) },
            logs: LogCollector(directories))
    }

    /// Which limits the control groups of vGPUs enforce, by the kernel's names; nil where vGPUs have none.
    public nonisolated var controllers: Set<String>? { launcher.groups?.controllers }

    // MARK: What there is

    /// All instances, in the order of their definition.
    public var all: [Instance] { order.compactMap { instances[$0] } }

    public func instance(_ id: InstanceID) throws(MediationError) -> Instance {
        guard let instance = instances[id] else {
            throw MediationError(
                .notFound, "There is no vGPU \(id). 'mediated list' and 'mediated list -d' name those that there are.")
        }
        return instance
    }

    /// What has happened since.
    ///
    /// - Parameters:
    ///   - number: the last entry that is known already.
    ///   - instance: only what concerns it; nil: everything.
    ///   - limit: the most entries; the newest ones count.
    ///   - wait: how long to wait for the first one, if there is none yet.
    /// - Returns: the entries, oldest first, and the number of the newest one there is.
    public func journal(
        after number: Int = 0, instance: InstanceID? = nil, limit: Int = 1000, waiting wait: Duration = .zero
    ) async throws(MediationError) -> (entries: [JournalEntry], last: Int) {
        let end = ContinuousClock.now + wait
        while true {
            let last = lastEntry
            let entries = try stored { try store.journal(after: number, instance: instance, limit: limit) }
            guard entries.isEmpty, ContinuousClock.now < end else { return (entries, last) }
            await journalBell.next(after: last, until: end)
        }
    }

    // MARK: Definitions

    /// Adds an instance that outlasts its end. `mdevctl define`
    public func define(_ instance: Instance) async throws(MediationError) -> Instance {
        await turns.begin(instance.id)
        defer { turns.end(instance.id) }
        try catalogue.check(instance)
        if var present = instances[instance.id] {
            // One that runs without a definition gets it now.
            guard !present.isDefined, present.parent == instance.parent, present.type == instance.type else {
                throw MediationError(
                    .conflict, "There is a vGPU \(instance.id) already. Undefine it first, or choose another UUID.")
            }
            present.isDefined = true
            present.isAutostarted = instance.isAutostarted
            try save(present, .defined, "Defined as a \(present.type).")
            return present
        }
        try checkNumber()
        var instance = instance
        instance.state = .stopped
        instance.process = nil
        instance.isDefined = true
        try save(instance, .defined, "Defined as a \(instance.type) of \(instance.parent).")
        return instance
    }

    /// Whether there may be one more.
    func checkNumber() throws(MediationError) {
        guard instances.count < configuration.mostInstances else {
            throw MediationError(
                .exhausted,
                "There are \(instances.count) vGPUs, and there may be no more. Undefine one that isn't needed: "
                    + "'mediated list --defined' names them.")
        }
    }

    /// Forgets a definition; a running instance runs on until it is stopped. `mdevctl undefine`
    public func undefine(_ id: InstanceID) async throws(MediationError) {
        await turns.begin(id)
        defer { turns.end(id) }
        var instance = try instance(id)
        guard instance.isDefined else {
            throw MediationError(.conflict, "The vGPU \(id) has no definition: it is gone when it stops.")
        }
        instance.isDefined = false
        if instance.isActive {
            try save(instance, .undefined, "Undefined while it runs.")
        } else {
            try remove(instance, .undefined, "Undefined.")
        }
    }

    /// What a change of a definition says; nil: as it is.
    public struct Modification: Sendable {
        public var type: String?
        public var isAutostarted: Bool?
        /// Each replaces that of the same name.
        public var attributes: [Attribute] = []
        /// Those that aren't there are no error.
        public var removedAttributes: [String] = []
        public var owner: Instance.Owner?

        public init() {}
    }

    /// Changes an instance. While it runs only its limits can change, and do so at once. `mdevctl modify`
    public func modify(_ id: InstanceID, _ change: Modification) async throws(MediationError) -> Instance {
        await turns.begin(id)
        defer { turns.end(id) }
        let before = try instance(id)
        var after = before
        if let type = change.type { after.type = type }
        if let isAutostarted = change.isAutostarted { after.isAutostarted = isAutostarted }
        if let owner = change.owner { after.owner = owner }
        after.attributes.removeAll { change.removedAttributes.contains($0.name) }
        for attribute in change.attributes {
            after.attributes.removeAll { $0.name == attribute.name }
            after.attributes.append(attribute)
        }
        try catalogue.check(after)
        if before.isActive {
            after.aperture = try catalogue.aperture(of: before, for: after)
            try await modifyLive(before, after)
        } else {
            try save(after, .modified, "Modified.")
        }
        return after
    }

    private func modifyLive(_ before: Instance, _ after: Instance) async throws(MediationError) {
        func fixed(_ instance: Instance) -> [Attribute] {
            instance.attributes.filter { !$0.isLimit }.sorted { $0.name < $1.name }
        }
        guard before.type == after.type, before.owner == after.owner, fixed(before) == fixed(after) else {
            throw MediationError(
                .conflict,
                "The vGPU \(before.id) runs: only its weight, frame-rate and vram can change now. Stop it for more.")
        }
        let (old, new) = (try catalogue.limits(of: before), try catalogue.limits(of: after))
        if new.videoMemory > old.videoMemory { try checkRoom(for: after) }
        promised[after.id] = after
        defer { promised[after.id] = nil }
        try await apply(new, insteadOf: old, to: after)
        do throws(MediationError) { try save(after, .modified, "Modified.") } catch {
            do throws(MediationError) { try await apply(old, insteadOf: new, to: before) } catch let second {
                throw MediationError(.failed, "\(error) But the device process keeps its new limits: \(second)")
            }
            throw error
        }
    }

    /// Whether the parent has what an instance is to have, others left out.
    func checkRoom(for instance: Instance) throws(MediationError) {
        let others = instances.merging(promised) { _, promised in promised }.values.filter { $0.id != instance.id }
        try catalogue.checkRoom(for: instance, beside: others)
    }

    // MARK: The store

    /// What is so when something can't be stored, and nothing was done before.
    private static let unchanged = "Nothing was changed"

    /// Stores an instance with what is said of it, and only then believes it.
    ///
    /// - Parameter otherwise: what is so when it can't be stored.
    func save(
        _ instance: Instance, _ kind: JournalEntry.Kind, _ message: String, otherwise: String = unchanged
    ) throws(MediationError) {
        try save([instance], kind, otherwise: otherwise) { _ in message }
    }

    /// Stores instances with what is said of each: all of them, or none.
    func save(
        _ changed: [Instance], _ kind: JournalEntry.Kind, otherwise: String = unchanged, _ message: (Instance) -> String
    ) throws(MediationError) {
        let now = SystemClock.secondsSinceEpoch
        let entries = changed.map {
            JournalEntry(time: now, instance: $0.id, kind: kind.rawValue, message: message($0))
        }
        try commit(StoreChange(saved: changed, entries: entries), otherwise: otherwise)
        lastGeneration = changed.reduce(lastGeneration) { max($0, $1.generation) }
        for instance in changed where instances.updateValue(instance, forKey: instance.id) == nil {
            order.append(instance.id)
        }
    }

    func remove(
        _ instance: Instance, _ kind: JournalEntry.Kind, _ message: String, otherwise: String = unchanged
    ) throws(MediationError) {
        let entry = JournalEntry(
            time: SystemClock.secondsSinceEpoch, instance: instance.id, kind: kind.rawValue, message: message)
        try commit(StoreChange(removed: [instance.id], entries: [entry]), otherwise: otherwise)
        instances[instance.id] = nil
        order.removeAll { $0 == instance.id }
        unlink(directories.log(of: instance.id))
        unlink(directories.savedState(of: instance.id))
    }

    /// The longest message of a journal's entry, in bytes; the rest is cut off. Device processes have their part in some.
    static let messageLimit = 1024

    func commit(_ change: StoreChange, otherwise: String = unchanged) throws(MediationError) {
        var change = change
        for index in change.entries.indices where change.entries[index].message.utf8.count > Self.messageLimit {
            let message = change.entries[index].message.utf8.prefix(Self.messageLimit)
            change.entries[index].message = String(decoding: message, as: UTF8.self)
        }
        let entries = try stored(otherwise: otherwise) { try store.commit(change) }
        if let last = entries.last { journalBell.ring(last.number) }
    }

    /// The number of the journal's newest entry.
    private var lastEntry: Int { journalBell.last }

    private func stored<Value>(
        otherwise: String = unchanged, _ body: () throws -> Value
    ) throws(MediationError) -> Value {
        do { return try body() } catch {
            throw MediationError(.failed, "\(otherwise): the database can't be used. \(error)")
        }
    }

    /// The newest of the journal's entries that concern an instance.
    func lastEntry(of id: InstanceID) throws(MediationError) -> JournalEntry? {
        try stored { try store.journal(after: 0, instance: id, limit: 1) }.last
    }

    /// Takes over what an earlier manager has left.
    func load() throws(MediationError) -> (instances: [Instance], boot: String?) {
        var (stored, boot) = try stored { (try store.instances(), try store.lastBoot()) }
        lastGeneration = try self.stored { try store.lastGeneration() }
        for index in stored.indices where stored[index].isActive {
            // An earlier version has written down none.
            if stored[index].grant == nil { stored[index].grant = try? catalogue.grant(of: stored[index]) }
        }
        for instance in stored {
            instances[instance.id] = instance
            order.append(instance.id)
        }
        if let last = try self.stored({ try store.journal(after: 0, instance: nil, limit: 1) }).last {
            journalBell.ring(last.number)
        }
        return (stored, boot)
    }
}
