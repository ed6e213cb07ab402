import Glibc
import Linux

/// Replaces this process by a program that comes with it. `execv(3)`
///
/// - Parameter name: the file's name, such as mediated-device.
/// - Throws: `Failure` when it is missing or can't be started.
func become(_ name: String, _ arguments: [String]) throws(Failure) -> Never {
    let program: String
    do throws(CompanionProgram.Missing) {
        program = try CompanionProgram.path(of: name)
    } catch {
        throw Failure(.systemFile, error.description)
    }
    // Freed by the exec, or with the process right after.
    let words = ([program] + arguments).map { strdup($0) }
    execv(program, words + [nil])
    throw Failure(.systemFile, "Can't start '\(program)': \(Errno(rawValue: errno)).")
}
