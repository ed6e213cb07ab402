import CXenDomain
import Linux
import Xen

/// The virtual processor of a test's domain: it carries out what it is told, one command after another.
///
/// Its program asks at a port what to do. That port belongs to a device model of the test's own, beside the one that is
/// tested.
final class Processor {
    private let server: RequestServer

    /// - Parameter isOurs: whether it is known as one of this project's.
    init(of domain: UInt16, isOurs: Bool) throws {
        server = try RequestServer(Domain(domain))
        if isOurs { try server.claim(.ours) }
        try server.claim(.ports(UInt64(cxd_port_command)...UInt64(cxd_port_result) + 3))
    }

    /// What it is yet to be told of the command in hand, and what it has told.
    private var words: [UInt32] = []
    private var told: [UInt32] = []

    /// Has a command carried out.
    ///
    /// - Parameter results: how many words it tells.
    private func run(_ command: Int, _ a: UInt32, _ b: UInt32, _ c: UInt32, results: Int = 0) throws -> [UInt32] {
        try begin(command, a, b, c)
        return try finish(results: results)
    }

    /// Has it begin with a command.
    private func begin(_ command: Int, _ a: UInt32, _ b: UInt32, _ c: UInt32) throws {
        (words, told) = ([UInt32(command), a, b, c], [])
        while true {
            _ = answer()
            if words.isEmpty { return }
            try awaitMore()
        }
    }

    /// Waits until it has done what it was told.
    private func finish(results: Int) throws -> [UInt32] {
        // It asks for the next command when this one is done.
        while !answer() { try awaitMore() }
        guard told.count == results else { throw Failed("The command told \(told).") }
        return told
    }

    /// Answers what it asks now.
    ///
    /// - Returns: whether it asks for the next command.
    private func answer() -> Bool {
        var isDone = false
        server.answerRequests { request in
            guard case .access(let access) = request else { return 0 }
            if !access.isRead {
                if case .value(let value) = access.data { told.append(UInt32(truncatingIfNeeded: value)) }
                return 0
            }
            if words.isEmpty {
                isDone = true
                return nil
            }
            return UInt64(words.removeFirst())
        }
        return isDone
    }

    private func awaitMore() throws {
        let ready = try waitReadable([server.descriptor.raw], within: .seconds(60))
        guard ready.first == true else { throw Failed("The guest doesn't go on.") }
    }

    /// Has it begin to read, which may take until somebody is there to answer.
    func beginReading(_ address: UInt32) throws {
        try begin(cxd_command_read, address, 0, 4)
    }

    /// What it has found by ``beginReading(_:)``.
    func finishReading() throws -> UInt64 {
        UInt64(try finish(results: 2)[0])
    }

    func read(_ address: UInt32, width: Int = 4) throws -> UInt64 {
        let words = try run(cxd_command_read, address, 0, UInt32(width), results: 2)
        return UInt64(words[0]) | UInt64(words[1]) << 32
    }

    /// - Parameter value: of eight bytes, both halves.
    func write(_ address: UInt32, _ value: UInt32, width: Int = 4) throws {
        _ = try run(cxd_command_write, address, value, UInt32(width))
    }

    func input(_ port: UInt32, width: Int = 4) throws -> UInt32 {
        try run(cxd_command_in, port, 0, UInt32(width), results: 1)[0]
    }

    func output(_ port: UInt32, _ value: UInt32, width: Int = 4) throws {
        _ = try run(cxd_command_out, port, value, UInt32(width))
    }

    /// `rep movs`
    func move(from: UInt32, to: UInt32, width: Int, count: Int, isDownwards: Bool = false) throws {
        _ = try run(cxd_command_move, from, to, Self.string(width, count, isDownwards))
    }

    /// `rep ins`
    func input(_ port: UInt32, to address: UInt32, width: Int, count: Int, isDownwards: Bool = false) throws {
        _ = try run(cxd_command_ins, port, address, Self.string(width, count, isDownwards))
    }

    /// `rep outs`
    func output(_ port: UInt32, from address: UInt32, width: Int, count: Int, isDownwards: Bool = false) throws {
        _ = try run(cxd_command_outs, port, address, Self.string(width, count, isDownwards))
    }

    private static func string(_ width: Int, _ count: Int, _ isDownwards: Bool) -> UInt32 {
        UInt32(count) | UInt32(width) << 16 | (isDownwards ? 1 << 31 : 0)
    }

    /// Sleeps until an interrupt has come.
    ///
    /// - Parameters:
    ///   - interrupt: less than 16; its vector is 0x40 more.
    ///   - count: how often, all in all.
    /// - Returns: how often it has.
    @discardableResult
    func wait(for interrupt: UInt32, count: UInt32) throws -> UInt32 {
        try run(cxd_command_wait, interrupt, count, 0, results: 1)[0]
    }

    /// Writes to an address again and again, each time sleeping until the interrupt of that has come.
    ///
    /// - Returns: how often it has, all in all.
    func write(_ address: UInt32, _ value: UInt8, times: UInt32, awaiting interrupt: UInt32) throws -> UInt32 {
        try run(cxd_command_storm, address, times, interrupt << 8 | UInt32(value), results: 1)[0]
    }

    /// How many cycles it takes to write to all words from an address on, again and again.
    func time(writing words: UInt32, from address: UInt32, rounds: UInt32) throws -> UInt32 {
        try run(cxd_command_time, address, words, rounds, results: 1)[0]
    }

    func hypercall(_ number: UInt32, _ a: UInt32, _ b: UInt32) throws -> Int32 {
        Int32(bitPattern: try run(cxd_command_hypercall, number, a, b, results: 1)[0])
    }

    /// Nothing is asked any more.
    func domainHasEnded() { server.releasePages() }

    // MARK: Configuration space

    private func select(_ register: UInt32, device: UInt32) throws -> UInt32 {
        try output(0xcf8, 1 << 31 | device << 11 | register & ~3)
        return 0xcfc + (register & 3)
    }

    func readConfiguration(_ register: UInt32, width: Int = 4, device: UInt32 = Slot.device) throws -> UInt32 {
        try input(select(register, device: device), width: width)
    }

    func writeConfiguration(
        _ register: UInt32, _ value: UInt32, width: Int = 4, device: UInt32 = Slot.device
    ) throws {
        try output(select(register, device: device), value, width: width)
    }
}

/// What was found is not what was expected.
struct Failed: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
