import CXenDomain
import Linux
import Xen

/// The virtual processor of a test's domain: it carries out what it is told, one command after another.
///
/// Its program asks at a port what to do. That port belongs to a device model of the test's own, beside the one that is
/// tested.
final class Processor {
    private let server: RequestServer

    init(of domain: UInt16) throws {
        server = try RequestServer(Domain(domain))
        try server.claim(.ports(UInt64(cxd_port_command)...UInt64(cxd_port_result) + 3))
        try server.open()
    }

    /// Has a command carried out.
    ///
    /// - Parameter results: how many words it tells.
    private func run(_ command: Int, _ a: UInt32, _ b: UInt32, _ c: UInt32, results: Int = 0) throws -> [UInt32] {
        var words = [UInt32(command), a, b, c]
        var told: [UInt32] = []
        // It asks for the next command when this one is done.
        var isDone = false
        while true {
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
            if isDone { break }
            let ready = try waitReadable([server.descriptor.raw], within: .seconds(60))
            guard ready.first == true else { throw Failed("The guest doesn't answer command \(command).") }
        }
        guard told.count == results else { throw Failed("Command \(command) told \(told).") }
        return told
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

    // MARK: Configuration space

    private func select(_ register: UInt32, device: UInt32) throws -> UInt32 {
        try output(0xcf8, 1 << 31 | device << 11 | register & ~3)
        return 0xcfc + (register & 3)
    }

    func readConfiguration(_ register: UInt32, width: Int = 4, device: UInt32 = Slot.device) throws -> UInt32 {
        try input(select(register, device: device), width: width)
    }

    func writeConfiguration(_ register: UInt32, _ value: UInt32, width: Int = 4) throws {
        try output(select(register, device: Slot.device), value, width: width)
    }
}

/// What was found is not what was expected.
struct Failed: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
