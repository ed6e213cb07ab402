import Foundation
import JSON
import Programs
import Testing
import VFIOUserClient

/// `mediated inject`
@Suite struct InjectCommandTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func inject(_ device: RunningDevice, _ arguments: String...) throws -> Program.Outcome {
        try Command.run(["inject", device.socket] + arguments)
    }

    private func rules(_ device: RunningDevice) throws -> [String] {
        let outcome = try inject(device, "--list", "--json")
        return try JSON(parsing: outcome.output)["rules"]?.array?.compactMap { $0["rule"]?.string } ?? []
    }

    @Test func aGuestMeetsWhatARuleSays() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let client = try Client(path: device.socket)
        try client.write(UInt32(0x5eed), region: 0, offset: 4)
        let outcome = try inject(
            device, "--rule", "read register=scratch nth=2 : value=0xffffffff", "--rule",
            "write register=scratch : drop")
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("1     0    0        read register=scratch nth=2 : value=0xffffffff"))
        let reads = try (0..<3).map { _ in try client.read(region: 0, offset: 4, count: 4) }
        #expect(
            reads == [0x5eed, 0xffff_ffff, 0x5eed].map { number in (0..<4).map { UInt8(number >> (8 * $0) & 0xff) } })
        try client.write(UInt32(1), region: 0, offset: 4)
        #expect(try client.read(region: 0, offset: 4, count: 4)[0] == 0xed)
        let list = try inject(device, "--list")
        #expect(list.output.contains("1     4    1        read"), "\(list.output)")
        #expect(try inject(device, "--clear", "2").status == 0)
        try client.write(UInt32(1), region: 0, offset: 4)
        #expect(try client.read(region: 0, offset: 4, count: 4)[0] == 1)
        // Each is among the device process's events.
        let events = try Command.run("events", device.socket)
        #expect(events.output.contains("Rule 2, 'write register=scratch : drop', has met write bar0+0x4 scratch."))
        #expect(try inject(device, "--clear").status == 0)
        #expect(try rules(device) == [])
    }

    /// Capabilities lie where the device has them: its configuration space is asked.
    @Test func theRegistersOfCapabilitiesHaveTheirNames() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let client = try Client(path: device.socket)
        let next = try client.read(region: 7, offset: 0x41, count: 1)
        #expect(try inject(device, "--rule", "read register=Power_Management_Next : xor=0xff").status == 0)
        #expect(try client.read(region: 7, offset: 0x41, count: 1) == next.map(~))
        let outcome = try inject(device, "--rule", "read register=Power_Management_Nix : ones")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains(", Power Management Next, "), "\(outcome.errors)")
    }

    @Test func whatIsHeldGoesOn() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        #expect(try inject(device, "--rule", "write register=scratch : hold", "--hold-limit", "60").status == 0)
        let path = device.socket
        let answer = Answer()
        let thread = Thread {
            let client = try? Client(path: path)
            answer.set((try? client?.write(UInt32(7), region: 0, offset: 4)) != nil)
            answer.set((try? client?.read(region: 0, offset: 4, count: 4))?[0] == 7)
        }
        thread.start()
        var list = ""
        while !list.contains("write bar0+0x4 scratch") { list = try inject(device, "--list").output }
        #expect(list.contains(#/WAITS +RULE +AT MOST +WHAT\n1 +1 +\d+ ms +write bar0\+0x4 scratch/#), "\(list)")
        // All else is answered meanwhile.
        #expect(try Command.run("info", device.socket).status == 0)
        #expect(try inject(device, "--continue", "1").output == "1 went on.\n")
        #expect(answer.wait() && answer.wait())
    }

    private final class Answer: @unchecked Sendable {
        private let condition = NSCondition()
        private var values: [Bool] = []

        func set(_ value: Bool) {
            condition.lock()
            values.append(value)
            condition.signal()
            condition.unlock()
        }

        func wait() -> Bool {
            condition.lock()
            defer { condition.unlock() }
            let end = Date(timeIntervalSinceNow: 30)
            while values.isEmpty { guard condition.wait(until: end) else { return false } }
            return values.removeFirst()
        }
    }

    @Test func aFileOfRules() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let file = scratch.path("rules.yaml")
        try "# Both.\n- read register=scratch: ones\n- 'message : drop'\n".write(
            toFile: file, atomically: true, encoding: .utf8)
        #expect(try inject(device, "--file", file).status == 0)
        #expect(try rules(device) == ["read register=scratch : ones", "message : drop"])
        try "- read: ones\n- read register=scratch: drop\n".write(toFile: file, atomically: true, encoding: .utf8)
        let wrong = try inject(device, "--file", file)
        #expect(wrong.status == 64)
        #expect(wrong.errors.contains("rules.yaml:2:26: 'drop' can't be done with 'read'"), "\(wrong.errors)")
        #expect(try inject(device, "--file", scratch.path("none")).status == 66)
        #expect(try rules(device).count == 2)
    }

    /// All of them hold, or none.
    @Test func oneThatCanNotHoldTakesTheOthersAlong() throws {
        let device = try RunningDevice("exerciser", in: scratch)
        let outcome = try inject(device, "--rule", "read : ones", "--rule", "read register=nowhere : ones")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("The device has no register 'nowhere'; it has "), "\(outcome.errors)")
        #expect(try rules(device) == [])
        let long = try inject(device, "--rule", "read : delay=2s", "--hold-limit", "1")
        #expect(long.status == 64)
        #expect(long.errors.contains("An access may wait 1000 ms at most"), "\(long.errors)")
    }

    @Test func whatIsWrongIsSaid() throws {
        let nobody = scratch.path("nobody")
        #expect(try Command.run("inject", nobody, "--list").status == Command.run("info", nobody).status)
        let rule = try Command.run("inject", nobody, "--rule", "read bar=0 : burn")
        #expect(rule.status == 64)
        #expect(rule.errors.contains("read bar=0 : burn\n               ^"), "\(rule.errors)")
        for wrong in [
            [], ["--list", "--clear"], ["--rule", "read : ones", "--list"], ["--clear", "0"], ["--clear", "x"],
            ["--continue", "-1"], ["--hold-limit", "1", "--list"], ["--rule", "read : hold", "--hold-limit", "0"],
            ["--rule", "read : hold", "--hold-limit", "61"],
        ] {
            #expect(try Command.run(["inject", nobody] + wrong).status == 64, "\(wrong)")
        }
        let device = try RunningDevice("exerciser", in: scratch)
        #expect(try inject(device, "--clear", "3").errors.contains("There is no rule 3."))
        #expect(try inject(device, "--continue", "3").errors.contains("Nothing waits that has the number 3."))
        #expect(try inject(device, "--continue").output == "0 went on.\n")
        #expect(try inject(device, "--list").output == "No rule holds.\n")
    }
}
