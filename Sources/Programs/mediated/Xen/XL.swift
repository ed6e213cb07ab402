import Glibc
import Linux

/// Xen's own tool, where it is installed: it knows domains by name, and what they have done. `xl(1)`
struct XL {
    private let program: String

    /// - Returns: nil when it is in no folder of `PATH`.
    init?() {
        let folders = (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":")
        guard let folder = folders.first(where: { access("\($0)/xl", X_OK) == 0 }) else { return nil }
        program = "\(folder)/xl"
    }

    /// The number of the domain that has a name. `xl domid`
    func number(of name: String) throws(Failure) -> UInt16 {
        let answer = try ask("domid", name)
        guard answer.isSuccess else {
            throw Failure(.unavailable, "xl can't tell which domain '\(name)' is: \(answer.lastLine)")
        }
        guard let number = answer.lines.last.flatMap({ UInt16($0) }) else {
            throw Failure(.protocol, "xl gives no number for domain '\(name)': \(answer.lastLine)")
        }
        return number
    }

    /// Whether the processors of a domain have run. `xl list`
    func hasRun(_ domain: UInt16) throws(Failure) -> Bool {
        let answer = try ask("list", "\(domain)")
        guard answer.isSuccess else {
            throw Failure(.unavailable, "xl can't tell whether domain \(domain) has run: \(answer.lastLine)")
        }
        // The seconds are the last column.
        guard let time = answer.lines.last?.split(whereSeparator: \.isWhitespace).last.flatMap({ Double($0) }) else {
            throw Failure(.protocol, "xl gives no time for domain \(domain): \(answer.lastLine)")
        }
        return time > 0
    }

    // MARK: Asking it

    private struct Answer {
        var isSuccess: Bool
        var lines: [String]

        /// As a sentence's end.
        var lastLine: String { lines.last.map { "'\($0)'." } ?? "it says nothing." }
    }

    /// It asks xenstored, which may hang.
    private static let limit = Duration.seconds(20)
    private static let answerLimit = 1 << 16

    private func ask(_ words: String...) throws(Failure) -> Answer {
        do throws(Errno) {
            // No more is taken of what it says than this holds.
            let said = try MemoryFile(name: "xl", size: Self.answerLimit)
            let process = try ChildProcess.spawn(program, words, passing: [], standardError: said.descriptor.raw)
            let hasEnded = try? waitReadable([ProcessHandle(process).descriptor.raw], within: Self.limit).first
            guard hasEnded == true else {
                ChildProcess.end(process)
                throw .timedOut
            }
            var status: Int32 = 0
            waitpid(process, &status, 0)
            let text = try said.descriptor.readBytes(at: 0, upTo: Self.answerLimit).prefix { $0 != 0 }
            let lines = String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
            return Answer(isSuccess: status == 0, lines: lines)
        } catch {
            throw Failure(.unavailable, "'\(program) \(words.joined(separator: " "))' can't be asked: \(error).")
        }
    }
}
