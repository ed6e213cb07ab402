import CVirglrenderer
import Glibc
import Linux
import Synchronization

/// What the library has to say: mostly what a guest does wrong, and as often as the guest likes. So the first lines go
/// to the log, and no more.
enum LibraryLog {
    private static let limit = 16
    private static let lineLimit = 512
    private static let written = Atomic<Int>(0)

    static func write(_ format: UnsafePointer<CChar>?, _ arguments: CVaListPointer?) {
        guard let format, let arguments, written.load(ordering: .relaxed) < limit else { return }
        var line = [CChar](repeating: 0, count: lineLimit)
        // SAFETY: it writes at most so many bytes, with a zero at the end; the format and its arguments are the
        // library's.
        vsnprintf(&line, line.count, format, arguments)
        let text = line.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        write(text.filter { !$0.isNewline })
    }

    static func write(_ line: String) {
        let number = written.add(1, ordering: .relaxed).newValue
        guard number <= limit else { return }
        StandardError.print("mediated-renderer: \(line)")
        if number == limit { StandardError.print("mediated-renderer: What else virglrenderer says is left out.") }
    }
}
