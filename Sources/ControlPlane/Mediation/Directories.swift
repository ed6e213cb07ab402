import Glibc
import Linux

/// Where everything lies.
public struct Directories: Equatable, Sendable {
    /// Sockets; gone after a reboot.
    public var runtime: String
    /// The database and saved states.
    public var state: String
    public var logs: String
    /// What an administrator writes.
    public var configuration: String

    public init(runtime: String, state: String, logs: String, configuration: String) {
        self.runtime = runtime
        self.state = state
        self.logs = logs
        self.configuration = configuration
    }

    /// All below one folder.
    public init(root: String) {
        self.init(runtime: "\(root)/run", state: "\(root)/state", logs: "\(root)/log", configuration: "\(root)/etc")
    }

    /// Where a host keeps such things: as systemd says (`RUNTIME_DIRECTORY` …), else the folders of the Filesystem
    /// Hierarchy Standard for root, and those of the XDG Base Directory Specification for others.
    ///
    /// - Parameters:
    ///   - environment: the variables.
    ///   - isRoot: whether the user is root.
    /// - Returns: nil when the environment of a user who isn't root names no folder for sockets, or no home.
    public init?(environment: [String: String], isRoot: Bool) {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.hasPrefix("/") ? $0 : nil } }
        if let root = value("MEDIATED_ROOT") {
            self.init(root: root)
        } else if isRoot {
            self.init(
                runtime: value("RUNTIME_DIRECTORY") ?? "/run/mediated",
                state: value("STATE_DIRECTORY") ?? "/var/lib/mediated",
                logs: value("LOGS_DIRECTORY") ?? "/var/log/mediated",
                configuration: value("CONFIGURATION_DIRECTORY") ?? "/etc/mediated")
        } else {
            guard let home = value("HOME"),
                let runtime = value("RUNTIME_DIRECTORY") ?? value("XDG_RUNTIME_DIR").map({ "\($0)/mediated" })
            else { return nil }
            let state = value("STATE_DIRECTORY") ?? "\(value("XDG_STATE_HOME") ?? "\(home)/.local/state")/mediated"
            self.init(
                runtime: runtime, state: state, logs: value("LOGS_DIRECTORY") ?? "\(state)/log",
                configuration: "\(value("XDG_CONFIG_HOME") ?? "\(home)/.config")/mediated")
        }
    }

    /// Those of this process: all below `root`, or as its environment and user have it.
    ///
    /// - Throws: ``MediationError`` when the environment names no folders.
    public init(root: String?) throws(MediationError) {
        if let root, !root.isEmpty {
            self.init(root: root.hasPrefix("/") ? root : try Self.currentFolder() + "/" + root)
            return
        }
        let names = [
            "MEDIATED_ROOT", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY",
            "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME",
        ]
        var environment: [String: String] = [:]
        for name in names { environment[name] = getenv(name).map { String(cString: $0) } }
        guard let found = Directories(environment: environment, isRoot: geteuid() == 0) else {
            throw MediationError(
                .invalid, "Neither HOME nor XDG_RUNTIME_DIR says where to put things. Set them, or give --root.")
        }
        self = found
    }

    private static func currentFolder() throws(MediationError) -> String {
        guard let folder = getcwd(nil, 0) else { throw MediationError(.failed, "The current folder is gone.") }
        defer { free(folder) }
        return String(cString: folder)
    }

    // MARK: What lies there

    /// Where the daemon serves those who may tell it what to do.
    public var daemon: String { "\(runtime)/mediated.sock" }
    public var database: String { "\(state)/mediated.db" }
    /// What administrators add to the types.
    public var types: String { "\(configuration)/types.yaml" }

    /// A vGPU's folder, which only its owner may enter.
    public func folder(of id: InstanceID) -> String { "\(folders)/\(id)" }
    public var folders: String { "\(runtime)/vgpu" }
    /// Where its client connects.
    public func socket(of id: InstanceID) -> String { "\(folder(of: id))/vfio.sock" }
    /// Where the daemon speaks with its device process.
    public func control(of id: InstanceID) -> String { "\(controls)/\(id).sock" }
    public var controls: String { "\(runtime)/control" }
    /// What its device process has as standard error.
    public func logPipe(of id: InstanceID) -> String { "\(controls)/\(id).log" }
    public var savedStates: String { "\(state)/vgpu" }
    public func savedState(of id: InstanceID) -> String { "\(savedStates)/\(id).state" }
    public func log(of id: InstanceID) -> String { "\(logs)/\(id).log" }

    /// Makes the folders. Others may pass through those that lead to sockets, and see nothing.
    ///
    /// - Throws: `mkdir(2)`'s error; `.permissionDenied` for what others own, or may change.
    public func make() throws(Errno) {
        for (path, mode) in [
            (runtime, 0o755), (folders, 0o711), (controls, 0o700), (state, 0o700),
            (savedStates, 0o700), (logs, 0o750),
        ] as [(String, mode_t)] {
            try makeFolder(path, mode: mode)
        }
    }
}
