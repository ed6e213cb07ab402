import Foundation
import Linux
import Testing

/// What a process can do inside `Sandbox.confine`, tried by one that is: Testing/SandboxProbe.
@Suite struct ProbeTests {
    /// What an attempt came to.
    enum Outcome: Equatable {
        case done(Int?)
        case error(Int32)
        case signal(Int32)
    }

    private static func probe(_ attempt: String) throws -> Outcome {
        let child = try Child("SandboxProbe", [attempt])
        let words = try child.output().split(whereSeparator: \.isWhitespace)
        if case .signal(let signal) = child.wait() { return .signal(signal) }
        let complaint = try child.errors()
        try #require(child.wait() == .exit(0), "\(complaint)")
        return switch (words.first, words.dropFirst().first.flatMap { Int($0) }) {
        case ("done", let value): .done(value)
        case ("error", let value?): .error(Int32(value))
        default: throw Unreadable()
        }
    }

    private struct Unreadable: Error {}

    // MARK: The file system and the network

    @Test(arguments: [
        "read-file", "read-file-openat2", "create-file", "own-memory", "file-status", "remove-file", "truncate-file",
        "change-folder",
    ])
    func noPathCanBeUsed(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(EPERM))
    }

    @Test(arguments: [
        "socket-inet", "socket-inet6", "socket-netlink", "socket-unix", "socket-pair-inet", "socket-pair-datagrams",
        "connect",
    ])
    func noConnectionCanBeMade(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(EPERM))
    }

    // MARK: Processes

    @Test(arguments: ["exec", "exec-descriptor"])
    func runningAProgramEndsTheProcess(attempt: String) throws {
        #expect(try Self.probe(attempt) == .signal(SIGSYS))
    }

    @Test(arguments: ["fork", "fork-clone3", "thread"])
    func neitherProcessesNorThreadsCanBeStarted(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(EPERM))
    }

    @Test(arguments: ["signal-parent", "signal-parent-thread", "signal-by-descriptor", "signal-by-owner"])
    func otherProcessesGetNoSignals(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(EPERM))
    }

    @Test(arguments: ["trace", "read-process", "take-descriptor"])
    func reachingIntoAProcessEndsTheProcess(attempt: String) throws {
        #expect(try Self.probe(attempt) == .signal(SIGSYS))
    }

    @Test(arguments: ["kernel-program", "kernel-ring", "mount", "new-namespaces", "personality"])
    func reachingIntoTheKernelEndsTheProcess(attempt: String) throws {
        #expect(try Self.probe(attempt) == .signal(SIGSYS))
    }

    #if arch(x86_64)
        @Test(arguments: ["call-of-32-bit-programs", "call-of-x32-programs"])
        func theOtherWaysIntoTheKernelEndTheProcess(attempt: String) throws {
            #expect(try Self.probe(attempt) == .signal(SIGSYS))
        }
    #endif

    @Test func aCrashIsStillSeenForWhatItIs() throws {
        #expect(try Self.probe("abort") == .signal(SIGABRT))
    }

    // MARK: Code

    @Test(arguments: [
        "map-executable", "map-file-executable", "make-executable", "make-executable-by-key",
        "executable-file-in-memory",
    ])
    func noCodeCanBeMade(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(EPERM))
    }

    // MARK: Privileges and limits

    @Test(arguments: ["become-root", "become-root-fully", "raise-limit", "trace-again", "control-terminal"])
    func nothingGivenUpComesBack(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(EPERM))
    }

    @Test(arguments: ["memory-at-once", "memory-by-malloc"])
    func moreMemoryThanAllowedIsAnError(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(ENOMEM))
    }

    @Test func memoryInPiecesEndsAtTheLimitToo() throws {
        // The probe may have 64 MiB, of which it has used some.
        guard case .done(let pieces?) = try Self.probe("memory-in-pieces") else {
            Issue.record("It ended in another way.")
            return
        }
        #expect((32..<64).contains(pieces))
    }

    @Test func aFileThatIsTooLongIsAnErrorAndNoSignal() throws {
        #expect(try Self.probe("file-too-long") == .error(EFBIG))
    }

    @Test func moreDescriptorsThanAllowedAreAnError() throws {
        #expect(try Self.probe("descriptors") == .done(Int(descriptorsOfDevice())))
        #expect(try Self.probe("one-descriptor-too-many") == .error(EMFILE))
    }

    // MARK: What must work

    @Test(
        arguments: [
            ("memory-file", .done(1)), ("sealed-file", .done(nil)), ("received-file", .done(42)), ("eventfd", .done(2)),
            ("received-eventfd", .done(1)), ("received-no-eventfd", .error(EINVAL)), ("connection", .done(11)),
            ("socket-pair", .done(nil)), ("clock", .done(0)), ("hashing", .done(1000)), ("random-numbers", .done(8)),
            ("cut-off-file", .done(2)),
            ("interrupted-receive", .done(3)),
        ] as [(String, Outcome)])
    func whatADeviceNeedsWorks(attempt: String, outcome: Outcome) throws {
        #expect(try Self.probe(attempt) == outcome)
    }

    // MARK: Landlock by itself

    /// The version that this kernel has; 0 for none.
    private static let landlock: Int =
        if case .done(let version?) = try? probe("landlock-version") { version } else { 0 }

    @Test(
        .enabled(if: landlock >= 1, "This kernel has no Landlock."),
        arguments: ["landlock-read", "landlock-read-thread", "landlock-create"])
    func landlockAloneDeniesFilesToEveryThread(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(EACCES))
    }

    @Test(.enabled(if: landlock >= 4, "This kernel's Landlock knows no network."))
    func landlockAloneDeniesTheNetwork() throws {
        #expect(try Self.probe("landlock-bind-tcp") == .error(EACCES))
    }

    @Test(.enabled(if: landlock >= 6, "This kernel's Landlock knows no signals."))
    func landlockAloneKeepsSignalsInside() throws {
        #expect(try Self.probe("landlock-signal-parent") == .error(EPERM))
    }

    // MARK: Another user

    @Test(.enabled(if: isRoot, "Only root can become somebody else."))
    func rootBecomesAnotherUserAndNothingElse() throws {
        #expect(try Self.probe("become") == .done(54_321))
        #expect(try Self.probe("become-group") == .done(54_322))
        #expect(try Self.probe("become-groups") == .done(0))
    }

    @Test(
        .enabled(if: isRoot, "Only root can become somebody else."),
        arguments: ["become-and-back", "become-and-back-group", "become-another"])
    func whoeverItBecameItRemains(attempt: String) throws {
        #expect(try Self.probe(attempt) == .error(EPERM))
    }

    @Test(.enabled(if: !isRoot, "Root can."))
    func nobodyButRootBecomesSomebodyElse() throws {
        #expect(try Self.probe("become") == .error(EPERM))
    }
}
