import PCI
import XenSlot

/// The words of a command line, one after the other.
struct WordReader<Words: IteratorProtocol> where Words.Element == String {
    typealias Problem = DeviceArguments.Problem

    private var rest: Words
    /// The option whose value comes next.
    private var option = ""
    /// Those that were there, and may not come again.
    private var given: Set<DeviceArguments.Option> = []

    init<Source: Sequence>(_ words: Source) where Source.Iterator == Words {
        rest = words.makeIterator()
    }

    mutating func next() -> String? { rest.next() }

    /// Another function may have all of a function's options again.
    mutating func beginFunction() {
        given = given.filter { !$0.isOfFunction }
    }

    mutating func option(_ word: String, isBehindType: Bool) throws(Problem) -> DeviceArguments.Option {
        guard let option = DeviceArguments.Option(rawValue: word) else {
            throw Problem("'\(word)' is not understood.")
        }
        guard isBehindType || !option.isOfFunction else {
            throw Problem("\(word) is an option of a device, and stands behind the device's type.")
        }
        guard option.mayRepeat || given.insert(option).inserted else {
            throw Problem("\(word) is given twice; give it once.")
        }
        self.option = word
        return option
    }

    mutating func value() throws(Problem) -> String {
        guard let value = rest.next() else { throw Problem("\(option) needs a value.") }
        return value
    }

    mutating func number<Number: FixedWidthInteger>(
        in range: ClosedRange<Number>, _ meaning: String
    ) throws(Problem) -> Number {
        let text = try value()
        guard let number = Number(text), range.contains(number) else {
            throw Problem("\(option) is '\(text)' but must be \(meaning).")
        }
        return number
    }

    mutating func descriptor() throws(Problem) -> Int32 {
        try number(in: 3...Int32.max, "the number of an inherited descriptor, from 3 on")
    }

    mutating func domain() throws(Problem) -> UInt16 {
        try number(in: DomainSlot.domains, "the number of a domain, from 1 on")
    }

    /// Root is nobody to become, and the highest number means "no change" to the kernel.
    private static var identities: ClosedRange<UInt32> { 1...UInt32.max - 1 }

    mutating func user() throws(Problem) -> UInt32 {
        try number(in: Self.identities, "a user's number, other than root's")
    }

    mutating func group() throws(Problem) -> UInt32 {
        try number(in: Self.identities, "a group's number, other than root's")
    }

    mutating func functionAddress() throws(Problem) -> FunctionAddress {
        let text = try value()
        guard let address = FunctionAddress(text) else {
            throw Problem("\(option) is '\(text)' but must be BB:DD.F, such as 00:05.0.")
        }
        return address
    }

    mutating func identity() throws(Problem) -> String {
        let text = try value()
        guard 1...DeviceArguments.maximumIdentity ~= text.utf8.count else {
            throw Problem(
                "\(option) has \(text.utf8.count) bytes but must have 1 to \(DeviceArguments.maximumIdentity).")
        }
        return text
    }

    mutating func mode() throws(Problem) -> UInt32 {
        let text = try value()
        guard let mode = DeviceArguments.mode(octal: text) else {
            throw Problem("\(option) is '\(text)' but must be octal, such as 0660.")
        }
        return mode
    }
}
