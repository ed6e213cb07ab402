import Control
import Glibc
import Linux
import Mediation

/// Knows all vGPUs and keeps the device processes of those that run.
///
/// Every change is in the ``Store`` before it is acknowledged, and a device process serves nobody before it is in
/// there: so a new manager finds all that an earlier one has started, however that one ended.
///
/// It keeps nothing itself. What is decided of one vGPU is decided in its turn (``Turns``). What several want is
/// claimed before anything is waited for (``Claims``, ``Users``). Disk, fork and device processes are waited for on
/// threads of their own, and whoever asks what there is (``all``) waits for none of it.
public final class Manager: Sendable {
    public struct Configuration: Sendable {
        /// The path of mediated-device.
        public var program: String
        /// The user IDs under which device processes run, each under one of its own; nil: all run as the daemon's user,
        /// who isn't root.
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
        /// Whether the last events of each vGPU are kept, of those that are started from now on.
        public var hasRecorders = true
        /// Takes a sentence for the daemon's administrator: of what can't be written down in the journal.
        public var log: @Sendable (String) -> Void = { StandardError.print($0) }

        /// Beyond what distributions and containers use: systemd's "Users, Groups, UIDs and GIDs" lists what is taken.
        public static let standardUsers: Range<UInt32> = 0x7000_0000..<0x7fff_0000

        public init(program: String) {
            self.program = program
            users = geteuid() == 0 ? Self.standardUsers : nil
        }
    }

    public let catalogue: Catalogue
    let directories: Directories
    let configuration: Configuration
    let turns = Turns()
    let ledger: Ledger
    let registry: Registry
    let claims: Claims
    let users: Users
    let questions: Questions
    let launcher: DeviceLauncher
    let processes = Processes()
    let watch: ProcessWatch
    let checkpoints: Checkpoints
    let recorders = Recorders()
    private let refusals = Refusals()

    /// - Throws: `.resourceTemporarilyUnavailable` when there are no threads to be had, and its like: ``begin()`` takes
    ///   up the work.
    public init(
        catalogue: Catalogue, directories: Directories, store: any Store, configuration: Configuration
    ) throws(Errno) {
        self.catalogue = catalogue
        self.directories = directories
        self.configuration = configuration
        ledger = try Ledger(store, log: configuration.log)
        registry = Registry(ledger)
        claims = Claims(registry, catalogue, mostInstances: configuration.mostInstances)
        users = Users(configuration.users)
        questions = Questions(registry, directories, limit: configuration.answerLimit)
        launcher = DeviceLauncher(
            program: configuration.program, directories: directories,
            groups: configuration.controlGroup.flatMap { DeviceGroups($0, of: getpid()) },
            logs: try LogCollector(directories), hasRecorders: configuration.hasRecorders)
        watch = try ProcessWatch()
        checkpoints = Checkpoints(
            turns: turns, registry: registry, questions: questions, ledger: ledger, launcher: launcher,
            catalogue: catalogue, every: configuration.checkpointInterval, limit: configuration.savingLimit)
    }

    /// Which limits the control groups of vGPUs enforce, by the kernel's names; nil where vGPUs have none.
    public var controllers: Set<String>? { launcher.groups?.controllers }

    // MARK: What there is

    /// All instances, in the order of their definition.
    public var all: [Instance] { registry.all }

    public func instance(_ id: InstanceID) throws(MediationError) -> Instance { try registry.instance(id) }

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
        try await ledger.journal(after: number, instance: instance, limit: limit, waiting: wait)
    }

    /// The last lines of an instance's log, oldest first.
    ///
    /// - Parameters:
    ///   - lines: the most lines; the newest ones count.
    ///   - offset: only what was written behind so many bytes; nil: all. A log that is shorter has begun anew.
    /// - Returns: the lines, and the offset behind the last one.
    public func log(
        of id: InstanceID, lines: Int, after offset: Int? = nil
    ) async throws(MediationError) -> (lines: [String], end: Int) {
        _ = try registry.instance(id)
        return await inAnyCase { [launcher] in
            launcher.logs.drain(id)
            return launcher.log(of: id).lines(lines, after: offset)
        }
    }

    // MARK: What running ones say

    /// Asks a device process, which answers one at a time.
    ///
    /// - Returns: what `body` made of the answers, on a thread of its own.
    /// - Throws: ``MediationError/Code/busy`` when too many others wait for the process, or it hasn't answered them in
    ///   time.
    public func ask<Value: Sendable>(
        _ id: InstanceID, _ body: @escaping @Sendable (ControlClient) throws -> Value
    ) async throws(MediationError) -> Value {
        try await questions.ask(id, body)
    }

    /// Saves the states of those that are in use, again and again, and keeps logs within their limits, until it is
    /// cancelled.
    public func keepCheckpoints() async { await checkpoints.keep() }

    /// Takes into the journal that somebody came who may not tell this manager what to do: once a minute for each user,
    /// for they may come as often as they like.
    public func noteRefusal(user: UInt32, process: Int32) async {
        guard refusals.isNews(user) else { return }
        await ledger.tell(
            .denied, of: nil, "User \(user) (process \(process)) may not use the daemon, and was refused.")
    }
}

/// When users were refused last.
private final class Refusals: Sendable {
    private static let most = 1024
    private let last = Locked<[UInt32: ContinuousClock.Instant]>([:])

    /// Takes note of one more.
    ///
    /// - Returns: whether there was none of this user for a minute.
    func isNews(_ user: UInt32) -> Bool {
        let now = ContinuousClock.now
        return last.withLock { last in
            if let before = last[user], now - before < .seconds(60) { return false }
            if last.count >= Self.most { last = [:] }
            last[user] = now
            return true
        }
    }
}
