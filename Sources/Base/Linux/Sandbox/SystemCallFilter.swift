import CLinux
import Glibc

/// Which system calls the process may make: a list of those that are allowed, and a program for the kernel that goes by
/// it. `seccomp(2)`
///
/// A call that is on no list fails with EPERM. So a library that tries something and can do without goes on, and
/// a mistake in the lists shows as an error that is said. Calls for which there is no such excuse end the process.
struct SystemCallFilter {
    /// A call, and what its arguments must be like.
    struct Rule {
        let call: Int32
        let conditions: [Condition]

        init(_ call: Int32, _ conditions: Condition...) {
            self.call = call
            self.conditions = conditions
        }
    }

    /// Something that the lower 32 bits of an argument must fulfil. Arguments that the kernel takes as `int` have no
    /// others, and all flags of the longer ones that matter lie there.
    struct Condition {
        enum Test {
            case isOneOf([UInt32])
            case hasNone(of: UInt32)
            case has(UInt32)
        }

        /// From 0.
        let argument: Int
        let test: Test

        static func argument(_ argument: Int, isOneOf values: Int32...) -> Condition {
            .argument(argument, isOneOf: values)
        }

        static func argument(_ argument: Int, isOneOf values: [Int32]) -> Condition {
            Condition(argument: argument, test: .isOneOf(values.map(UInt32.init(bitPattern:))))
        }

        static func argument(_ argument: Int, hasNoneOf bits: Int32) -> Condition {
            Condition(argument: argument, test: .hasNone(of: UInt32(bitPattern: bits)))
        }

        /// - Parameter bit: one.
        static func argument(_ argument: Int, has bit: Int32) -> Condition {
            Condition(argument: argument, test: .has(UInt32(bitPattern: bit)))
        }
    }

    /// Calls that end the process by SIGSYS.
    var deadly: [Int32]
    /// Calls that are there no more, by their error: libraries know an older one to take in their place. `ENOSYS`
    var missing: [Int32] = []
    /// Calls that are made. At most one rule for a call.
    var allowed: [Rule]

    /// Puts every thread of the process under the filter, for good.
    func install() throws(Errno) {
        let program = program
        try shim(program.withUnsafeBufferPointer { clinux_filter_system_calls($0.baseAddress, $0.count) })
    }

    // MARK: The program

    /// Where `struct seccomp_data` has what.
    private enum Offset {
        static let call: UInt32 = 0
        static let architecture: UInt32 = 4
        /// Both architectures that this is written for store the lower half first.
        static func argument(_ number: Int) -> UInt32 { 16 + 8 * UInt32(number) }
    }

    private static let allow = Self.end(SECCOMP_RET_ALLOW)
    private static let refuse = Self.end(UInt32(SECCOMP_RET_ERRNO) | UInt32(EPERM))
    private static let deny = Self.end(UInt32(SECCOMP_RET_ERRNO) | UInt32(ENOSYS))
    private static let kill = Self.end(SECCOMP_RET_KILL_PROCESS)

    /// Calls with no condition come first, most of all what each message takes: the kernel remembers them (Linux 5.11)
    /// and doesn't run the program for them.
    var program: [sock_filter] {
        var program = [
            Self.load(Offset.architecture),
            // A 32-bit call has other numbers; none is made here.
            Self.jump(clinux_bpf_if_equal, clinux_audit_architecture, ifTrue: 1), Self.kill,
            Self.load(Offset.call),
        ]
        #if arch(x86_64)
            // So has the x32 interface.
            program += [Self.jump(clinux_bpf_if_at_least, UInt32(__X32_SYSCALL_BIT), ifFalse: 1), Self.kill]
        #endif
        for rule in allowed where rule.conditions.isEmpty {
            program += [Self.jump(clinux_bpf_if_equal, UInt32(rule.call), ifFalse: 1), Self.allow]
        }
        for rule in allowed where !rule.conditions.isEmpty {
            let block = rule.conditions.flatMap(Self.check) + [Self.allow]
            program.append(Self.jump(clinux_bpf_if_equal, UInt32(rule.call), ifFalse: UInt8(block.count)))
            program += block
        }
        for call in missing {
            program += [Self.jump(clinux_bpf_if_equal, UInt32(call), ifFalse: 1), Self.deny]
        }
        for call in deadly {
            program += [Self.jump(clinux_bpf_if_equal, UInt32(call), ifFalse: 1), Self.kill]
        }
        return program + [Self.refuse]
    }

    /// Goes on behind itself when the condition is fulfilled.
    private static func check(_ condition: Condition) -> [sock_filter] {
        let tests: [sock_filter] =
            switch condition.test {
            case .hasNone(let bits): [jump(clinux_bpf_if_any_bit, bits, ifFalse: 1)]
            case .has(let bit): [jump(clinux_bpf_if_any_bit, bit, ifTrue: 1)]
            case .isOneOf(let values):
                // Each jumps over those behind it and the refusal.
                values.enumerated().map { index, value in
                    jump(clinux_bpf_if_equal, value, ifTrue: UInt8(values.count - index))
                }
            }
        return [load(Offset.argument(condition.argument))] + tests + [refuse]
    }

    private static func load(_ offset: UInt32) -> sock_filter {
        sock_filter(code: clinux_bpf_load, jt: 0, jf: 0, k: offset)
    }

    private static func jump(_ code: UInt16, _ value: UInt32, ifTrue: UInt8 = 0, ifFalse: UInt8 = 0) -> sock_filter {
        sock_filter(code: code, jt: ifTrue, jf: ifFalse, k: value)
    }

    private static func end(_ verdict: some BinaryInteger) -> sock_filter {
        sock_filter(code: clinux_bpf_return, jt: 0, jf: 0, k: UInt32(truncatingIfNeeded: verdict))
    }
}
