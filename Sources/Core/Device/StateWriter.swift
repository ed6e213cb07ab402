import JSON
import Linux

/// Takes a function's state in, piece by piece. Registers change at the very end, when all of it is known to fit;
/// memory is cleared and filled on the way.
public final class StateWriter {
    private enum Expecting {
        case header
        case document(count: Int)
        case extentHeader
        case extent(memory: Int, offset: Int, left: Int)
        case end
    }

    private let function: Function
    private let memory: [Int: MappedBytes]
    /// Of the memory, what stays as it is.
    private let kept: Set<Int>
    private var expecting = Expecting.header
    private var collected: [UInt8] = []
    /// The shell's and the device's state, once they have come.
    private var states: (function: Function.State, device: JSON)?

    /// - Parameter isKept: whether memory has newer content than the state, and is left alone.
    public init(_ function: Function, keeping isKept: (MappedBytes) -> Bool = { _ in false }) {
        self.function = function
        memory = function.savedMemory
        kept = Set(memory.filter { isKept($0.value) }.keys)
    }

    /// Takes the next bytes.
    ///
    /// - Throws: ``StateError`` when they can't be part of a state of this device; the device's memory
    ///   has lost its content then.
    public func write(_ bytes: RawSpan) throws(StateError) {
        var rest = bytes
        while rest.byteCount > 0 {
            switch expecting {
            case .header:
                guard collect(SavedState.headerSize, from: &rest) else { return }
                try readHeader()
            case .document(let count):
                guard collect(count, from: &rest) else { return }
                try readDocument()
            case .extentHeader:
                guard collect(SavedState.extentHeaderSize, from: &rest) else { return }
                try readExtentHeader()
            case .extent(let number, let offset, let left):
                let count = min(left, rest.byteCount)
                if !kept.contains(number) {
                    memory[number]?.replace(at: offset, with: rest.extracting(first: count))
                }
                rest = rest.extracting(droppingFirst: count)
                expecting =
                    count == left
                    ? .extentHeader : .extent(memory: number, offset: offset + count, left: left - count)
            case .end: throw StateError("\(rest.byteCount) bytes follow the end of the state.")
            }
        }
    }

    /// Puts the function into the state, which must have come to its end.
    ///
    /// - Throws: ``StateError`` when something is missing or doesn't fit.
    public func finish() throws(StateError) {
        guard case .end = expecting, let states else { throw StateError("The state is cut off.") }
        // Two parts that both may refuse: the old state of the first comes back when the second does.
        let before = function.state
        try function.restore(states.function)
        do throws(StateError) {
            try function.device.restore(encoded: states.device)
        } catch {
            try function.restore(before)
            throw error
        }
    }

    /// Moves bytes from `rest` until `count` are collected.
    private func collect(_ count: Int, from rest: inout RawSpan) -> Bool {
        let wanted = min(count - collected.count, rest.byteCount)
        collected.append(rest.extracting(first: wanted))
        rest = rest.extracting(droppingFirst: wanted)
        return collected.count == count
    }

    private func readHeader() throws(StateError) {
        guard Array(collected.prefix(8)) == SavedState.magic else { throw StateError("This is no saved state.") }
        let version = collected.number(at: 8, as: UInt32.self)
        guard version == SavedState.version else {
            throw StateError("The state has version \(version); this program reads version \(SavedState.version).")
        }
        let count = Int(collected.number(at: 12, as: UInt32.self))
        guard count > 0, count <= SavedState.maximumJSON else {
            throw StateError("The state's document has \(count) bytes; at most \(SavedState.maximumJSON) are taken.")
        }
        collected.removeAll()
        expecting = .document(count: count)
    }

    private func readDocument() throws(StateError) {
        let (tree, document) = try reading { () throws(JSONError) in
            let tree = try JSON(parsing: collected, valueLimit: SavedState.maximumValues)
            return (tree, try tree.decode(SavedState.Document.self))
        }
        let (shell, device) = try function.states(in: tree, document)
        states = (try reading { () throws(JSONError) in try shell.decode() }, device)
        for (number, file) in memory where !kept.contains(number) {
            do throws(Errno) {
                try file.clear()
            } catch {
                throw StateError("The device's memory can't be cleared: \(error)")
            }
        }
        collected.removeAll()
        expecting = .extentHeader
    }

    private func reading<Value>(_ read: () throws(JSONError) -> Value) throws(StateError) -> Value {
        do throws(JSONError) {
            return try read()
        } catch {
            throw StateError("The state's document can't be read: \(error)")
        }
    }

    private func readExtentHeader() throws(StateError) {
        let number = Int(collected.number(at: 0, as: UInt32.self))
        let offset = collected.number(at: 8, as: UInt64.self)
        let length = collected.number(at: 16, as: UInt64.self)
        collected.removeAll()
        guard length > 0 else {
            expecting = .end
            return
        }
        guard let file = memory[number], offset <= UInt64(file.size), length <= UInt64(file.size) - offset else {
            throw StateError("The state has \(length) bytes at \(offset) of memory \(number), where there is none.")
        }
        expecting = .extent(memory: number, offset: Int(offset), left: Int(length))
    }
}

extension [UInt8] {
    /// The number at `offset`, lowest byte first.
    fileprivate func number<Number: FixedWidthInteger & UnsignedInteger>(at offset: Int, as type: Number.Type) -> Number
    {
        var number: Number = 0
        for index in (0..<Number.bitWidth / 8).reversed() { number = number << 8 | Number(self[offset + index]) }
        return number
    }
}
