/// Up to 16 characters, oldest first. A received one may be a break: a 0 with a mark.
struct FIFO {
    static let depth = 16

    private var characters = InlineArray<16, UInt8>(repeating: 0)
    private(set) var count = 0
    /// Bit n marks character n as a break.
    private(set) var breaks: UInt16 = 0

    var isEmpty: Bool { count == 0 }
    var startsWithBreak: Bool { breaks & 1 != 0 }

    /// - Returns: false when there is no room; the character is lost.
    @discardableResult
    mutating func append(_ character: UInt8, isBreak: Bool = false) -> Bool {
        guard count < Self.depth else { return false }
        characters[count] = character
        if isBreak { breaks |= 1 << UInt16(count) }
        count += 1
        return true
    }

    /// Takes the oldest characters away, at most as many as there are.
    mutating func removeFirst(_ number: Int = 1) {
        let number = min(number, count)
        for index in number..<count { characters[index - number] = characters[index] }
        count -= number
        breaks >>= UInt16(number)
    }

    mutating func removeAll() {
        self = FIFO()
    }

    mutating func unmarkFirstBreak() {
        breaks &= ~1
    }

    /// The character at `index`, 0 being the oldest.
    subscript(index: Int) -> UInt8 { characters[index] }

    /// Lends out the characters.
    func withBytes<Result>(_ body: (RawSpan) -> Result) -> Result {
        body(characters.span.extracting(0..<count).bytes)
    }

    /// Lets `read` put characters into the empty FIFO.
    ///
    /// - Parameter read: given the room, returns how many characters it put at its beginning.
    mutating func fill(_ read: (inout MutableRawSpan) -> Int) {
        guard isEmpty else { return }
        var span = characters.mutableSpan
        var room = span.mutableBytes
        count = read(&room)
    }
}
