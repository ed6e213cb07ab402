import CSystemCall
import Glibc
import Linux

/// Attempts without the sandbox: changes of the process's user.
enum Unconfined {
    static var attempts: [String: SandboxProbe.Attempt] {
        [
            // Not a user of anybody's.
            "become": { () throws(Errno) in
                try Sandbox.become(user: 54_321, group: 54_322)
                return Int(getuid())
            },
            "become-group": { () throws(Errno) in
                try Sandbox.become(user: 54_321, group: 54_322)
                return Int(getgid())
            },
            "become-groups": { () throws(Errno) in
                try Sandbox.become(user: 54_321, group: 54_322)
                return Int(getgroups(0, nil))
            },
            "become-and-back": { () throws(Errno) in
                try Sandbox.become(user: 54_321, group: 54_322)
                return try call(__NR_setuid, 0)
            },
            "become-and-back-group": { () throws(Errno) in
                try Sandbox.become(user: 54_321, group: 54_322)
                return try call(__NR_setgid, 0)
            },
            "become-another": { () throws(Errno) in
                try Sandbox.become(user: 54_321, group: 54_322)
                try Sandbox.become(user: 54_323, group: 54_324)
                return nil
            },
        ]
    }
}

/// A system call by number; -errno becomes an error.
@discardableResult
func call(
    _ number: Int32, _ a: Int = 0, _ b: Int = 0, _ c: Int = 0, _ d: Int = 0, _ e: Int = 0, _ f: Int = 0
) throws(Errno) -> Int {
    let result = csystemcall(Int(number), a, b, c, d, e, f)
    guard result >= 0 else { throw Errno(rawValue: Int32(-result)) }
    return result
}

/// A path's address, to be given to a system call. It lives as long as the process.
func address(of path: String) -> Int {
    Int(bitPattern: strdup(path))
}

/// The address of some numbers one behind the other. They live as long as the process.
func address(of numbers: [UInt64]) -> Int {
    let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: numbers.count)
    memory.initialize(from: numbers, count: numbers.count)
    return Int(bitPattern: memory)
}
