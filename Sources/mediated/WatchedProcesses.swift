import ArgumentParser

/// Which device processes a command watches.
struct WatchedProcesses: ParsableArguments {
    @Argument(help: "The vfio-user sockets of device processes on this host.", completion: .file())
    var sockets: [String]

    func validate() throws {
        var seen: Set<String> = []
        for socket in sockets where !seen.insert(socket).inserted {
            throw ValidationError("'\(socket)' is named twice.")
        }
    }
}
