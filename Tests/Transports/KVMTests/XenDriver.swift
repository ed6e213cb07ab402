import Lab
import Synchronization

/// The driver in a domain of a real Xen, whose processor does one access after the other. XenProbe's relay in domain 0
/// tells it which: each takes a millisecond and more, so there are few.
final class XenDriver: Driver {
    private let xen: SharedXen

    /// How many accesses all tests together may do.
    private static let budget = 2000
    private static let accesses = Atomic(0)

    init() throws {
        xen = try SharedXen()
        try xen.machine.start("\(XenMachine.path("XenProbe")) relay </dev/console")
        guard try xen.machine.agent.waitFor("\n") == "ready" else { throw GuestError(try xen.machine.finish().output) }
    }

    deinit {
        try? xen.machine.agent.send("end\n")
        _ = try? xen.machine.finish()
    }

    private func ask(_ verb: String, _ numbers: UInt64...) throws -> [UInt32] {
        guard Self.accesses.wrappingAdd(1, ordering: .relaxed).newValue <= Self.budget else {
            throw GuestError("The tests have done \(Self.budget) accesses under Xen, which is all that they may.")
        }
        let words = [verb] + numbers.map { String($0, radix: 16) }
        try xen.machine.agent.send(words.joined(separator: " ") + "\n")
        let answer = try xen.machine.agent.waitFor("\n")
        if answer == "done" { return [] }
        let found = answer.split(separator: " ").map { UInt32($0, radix: 16) }
        guard !found.isEmpty, !found.contains(nil) else { throw GuestError(answer) }
        return found.compactMap { $0 }
    }

    func read(bar: Int, at offset: UInt64, width: Int) throws -> UInt32 {
        try ask("read", UInt64(bar), offset, UInt64(width))[0]
    }

    func write(_ value: UInt32, bar: Int, at offset: UInt64, width: Int) throws {
        _ = try ask("write", UInt64(bar), offset, UInt64(width), UInt64(value))
    }

    func readConfiguration(at offset: UInt64) throws -> UInt32 {
        try ask("readConfiguration", offset)[0]
    }

    func writeConfiguration(_ value: UInt32, at offset: UInt64) throws {
        _ = try ask("writeConfiguration", offset, UInt64(value))
    }

    func awaitMessage() throws -> Bool {
        try ask("awaitMessage") == [1]
    }

    func memory(at address: Int, count: Int) throws -> [UInt8] {
        try ask("memory", UInt64(address), UInt64(count)).map(UInt8.init(truncatingIfNeeded:))
    }
}
