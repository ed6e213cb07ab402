import Glibc
import Linux

/// The start of a bridge: it is waited for until it serves, or has said why it can't.
struct BridgeStart {
    let vGPU: String
    /// What its files' names begin with.
    let files: String

    /// How long a bridge may take: the client before it may have to go, and the vGPU tells what it can do.
    private static let limit = Duration.seconds(20)
    private static let longestAnswer = 4096

    func run(listeningAt path: String) throws(Failure) {
        let program: String
        do throws(CompanionProgram.Missing) {
            program = try CompanionProgram.path(of: "mediated-bridge")
        } catch {
            throw Failure(.systemFile, error.description)
        }
        let answer: [UInt8]
        do throws(Errno) {
            answer = try read(try start(program, listeningAt: path))
        } catch {
            throw Failure(.systemFile, "The bridge of '\(vGPU)' can't be started: \(error).")
        }
        let words = String(decoding: answer, as: UTF8.self).split(separator: " ", maxSplits: 1)
        guard let status = words.first.flatMap({ Int32($0) }) else {
            throw Failure(.software, "The bridge of '\(vGPU)' has ended before it served: see '\(files).log'.")
        }
        guard status != 0 else { return }
        throw Failure(ExitStatus(rawValue: status) ?? .software, words.count > 1 ? String(words[1]) : "It can't serve.")
    }

    /// - Returns: where it says how it went.
    private func start(_ program: String, listeningAt path: String) throws(Errno) -> Descriptor {
        let listener = try UnixListener(path: path, leavesPath: true)
        let log = try Descriptor(making: files + ".log", mode: 0o600, replaces: true)
        let pipe = try PipeEnds()
        let process = try ChildProcess.spawn(
            program, [vGPU], passing: [listener.descriptor.raw, pipe.writer.raw], standardError: log.raw,
            isDetached: true)
        // It goes on as a process of its own.
        _ = ChildProcess.awaitEnd(of: process)
        return pipe.reader
    }

    private func read(_ reader: borrowing Descriptor) throws(Errno) -> [UInt8] {
        let deadline = Deadline(after: Self.limit)
        var answer: [UInt8] = []
        while answer.count < Self.longestAnswer {
            var entry = pollfd(fd: reader.raw, events: Int16(POLLIN), revents: 0)
            let left = (deadline.left ?? .zero).inMilliseconds
            let count = poll(&entry, 1, left)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .timedOut }
            let bytes = try reader.readOnce(upTo: Self.longestAnswer)
            if bytes.isEmpty { break }
            answer += bytes
        }
        return answer
    }
}
