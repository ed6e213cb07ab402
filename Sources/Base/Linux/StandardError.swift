import Glibc
import Text

/// File descriptor 2: where a process says what happens to it.
public enum StandardError {
    /// Writes one line by one `write(2)`, so that lines of several processes don't mix. It may lead to a terminal: what
    /// isn't printable, line breaks included, is escaped. Errors are ignored: there is nowhere to tell them.
    public static func print(_ line: String) {
        var line = line.printable + "\n"
        line.withUTF8 { bytes in _ = write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }
}
