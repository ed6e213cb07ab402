import Xen

/// Does a driver's work for a process outside of the machine: in a domain of its own with an exerciser, by lines.
///
/// A line is a verb and numbers in hexadecimal; the answer is a line as well. The verbs are the names of
/// ``Verb``. It begins with the line `ready`, and ends with the line `end`.
final class Relay {
    private enum Verb: String {
        /// BAR, offset, width.
        case read
        /// BAR, offset, width, value.
        case write
        /// Offset.
        case readConfiguration
        /// Offset, value.
        case writeConfiguration
        /// Whether one more message has come to vector 0x40; waits for it.
        case awaitMessage
        /// Address, count: the domain's memory, a byte after the other.
        case memory
    }

    private let domain: TestDomain
    private let served: ServedFunction
    private let exerciser: Exerciser
    private var messages: UInt32 = 0

    init(_ kind: TestDomain.Kind) throws {
        domain = try TestDomain(kind)
        served = try ServedFunction("exerciser", in: domain.number, mapsBARs: true)
        exerciser = try Exerciser(domain.processor)
    }

    func run() {
        say("ready")
        while let line = readLine(), line != "end" {
            do {
                let words = line.split(separator: " ")
                let numbers = words.dropFirst().compactMap { UInt32($0, radix: 16) }
                guard let verb = words.first.flatMap({ Verb(rawValue: String($0)) }),
                    numbers.count == words.count - 1
                else { throw Failed("Nobody understands '\(line)'.") }
                say(try answer(verb, numbers))
            } catch {
                say("failed: \(error)")
            }
        }
    }

    private func answer(_ verb: Verb, _ numbers: [UInt32]) throws -> String {
        let processor = domain.processor
        switch (verb, numbers.count) {
        case (.read, 3):
            return hexadecimal(try processor.read(place(numbers[0]) + numbers[1], width: Int(numbers[2])))
        case (.write, 4):
            try processor.write(place(numbers[0]) + numbers[1], numbers[3], width: Int(numbers[2]))
            return "done"
        case (.readConfiguration, 1): return hexadecimal(UInt64(try processor.readConfiguration(numbers[0])))
        case (.writeConfiguration, 2):
            try processor.writeConfiguration(numbers[0], numbers[1])
            return "done"
        case (.awaitMessage, 0):
            messages += 1
            return try processor.wait(for: 0, count: messages) == messages ? "1" : "0"
        case (.memory, 2):
            let bytes = try domain.bytes(at: UInt64(numbers[0]), count: Int(numbers[1]))
            return bytes.map { hexadecimal(UInt64($0)) }.joined(separator: " ")
        default: throw Failed("\(verb) has \(numbers.count) numbers.")
        }
    }

    private func hexadecimal(_ value: UInt64) -> String { String(value, radix: 16) }

    /// Where a BAR is.
    private func place(_ bar: UInt32) throws -> UInt32 {
        switch bar {
        case 0: exerciser.registers
        case 2: exerciser.buffer
        case 4: exerciser.table
        default: throw Failed("A driver has no use for BAR \(bar).")
        }
    }
}
