import ArgumentParser
import Glibc
import Linux
import Observer

/// `mediated observe`
struct ObserveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "observe",
        abstract: "Stand between any client and any vfio-user server, and show or record their messages.",
        discussion: """
            Clients connect to the one socket, and for each of them the server at the other is connected to. Every \
            message goes on as it is, with its descriptors: the two need not know. When one of them goes, the other is \
            told so.

            What a client reads and writes in regions that it has mapped, and what it rings by eventfds, are no \
            messages. --trap withholds the mapping of regions, doorbells and the access ring: every access is a \
            message then, and takes longer.

            Whoever reads the lines too slowly makes nobody wait: lines that find no room are dropped, and counted. A \
            recording is whole: where its disk is slow, client and server wait.

            A recording holds what passes, such as what guests type and compute: only its owner may read it. Wireshark \
            shows it, see 'mediated record --dissector'.
            """)

    @Option(
        help: ArgumentHelp("The socket to make for clients: nothing is there yet.", valueName: "socket"),
        completion: .file())
    var listen: String

    @Option(help: ArgumentHelp("The socket of the server.", valueName: "socket"), completion: .file())
    var connect: String

    @Option(help: ArgumentHelp("Record all messages, as pcapng.", valueName: "file.pcapng"), completion: .file())
    var record: String?

    @Flag(help: "A file that is there is replaced.")
    var replace = false

    @Flag(help: "Have all accesses go by messages.")
    var trap = false

    @Flag(help: "Print a line for each message. Without --record that is so.")
    var trace = false

    func validate() throws {
        guard listen != connect else { throw ValidationError("--listen and --connect name the same socket.") }
        guard record != nil || !replace else { throw ValidationError("--replace goes with --record.") }
    }

    func run() throws {
        // Before any thread starts, none of which is to be ended by them.
        let signals: SignalFD
        do throws(Errno) { signals = try SignalFD([SIGINT, SIGTERM]) } catch {
            throw Failure(.io, "Signals can't be received: \(error).")
        }
        let sink = try sink()
        Observer.raiseDescriptorLimit()
        let observer: Observer
        do throws(Errno) {
            observer = try Observer(listeningAt: listen, server: connect, options: .init(traps: trap), delegate: sink)
        } catch {
            throw Failure(.cannotCreate, UnixListener.explanation(of: error, at: listen))
        }
        StandardError.print("mediated: Clients of '\(connect)' can connect to '\(listen)'.")
        do throws(Errno) { try observer.run(until: signals.descriptor) } catch {
            throw Failure(.io, "Clients can't be waited for at '\(listen)': \(error).")
        }
        try sink.finish()
    }

    private func sink() throws -> MessageSink {
        let writer = try record.map { try openRecording($0, replaces: replace) }
        do throws(Errno) {
            return try MessageSink(writer: writer, path: record, prints: trace || record == nil)
        } catch {
            throw Failure(.io, "Nothing can be printed or recorded: \(error).")
        }
    }
}
