import ArgumentParser
import DaemonClient
import Glibc
import Mediation

/// Which daemon a command asks.
struct DaemonOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Ask the daemon whose sockets, state and logs are below this folder. [default: $MEDIATED_ROOT, or the system's folders]",
            valueName: "folder"),
        completion: .directory)
    var root: String?

    /// Where the daemon's files are: below the root that was named, else where this user's own daemon has them. A user
    /// who has none asks the system's, which serves the members of its group.
    func directories() throws(Failure) -> Directories {
        do throws(MediationError) {
            let own = try Directories(root: root)
            let system = Directories(environment: [:], isRoot: true)
            guard let system, !isNamed, access(own.daemon, F_OK) != 0, access(system.daemon, F_OK) == 0 else {
                return own
            }
            return system
        } catch {
            throw Failure(error)
        }
    }

    private var isNamed: Bool { !(root ?? "").isEmpty || getenv("MEDIATED_ROOT") != nil }

    /// Asks the daemon for something.
    func ask<Answer>(_ body: (DaemonClient) throws(DaemonClientError) -> Answer) throws(Failure) -> Answer {
        let client = DaemonClient(path: try directories().daemon)
        do throws(DaemonClientError) { return try body(client) } catch { throw Failure(error) }
    }

    /// As ``ask(_:)``; nil when there is no daemon.
    func askIfThere<Answer>(_ body: (DaemonClient) throws(DaemonClientError) -> Answer) throws(Failure) -> Answer? {
        // A user without folders has no daemon.
        guard let directories = try? directories() else { return nil }
        do throws(DaemonClientError) { return try body(DaemonClient(path: directories.daemon)) } catch {
            guard error.isNobodyThere else { throw Failure(error) }
            return nil
        }
    }
}
