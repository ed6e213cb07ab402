import JSON
import Linux

/// A function's saved state as a stream of bytes: what `mediated save` writes and what migration carries.
///
///     "MEDIATED" | version: u32 | length: u32 | that many bytes of JSON | extents … | an extent of length 0
///
/// The JSON is the shell's and the device's state as values. An extent is a piece of the memory behind a BAR:
/// BAR: u32, zero: u32, offset: u64, length: u64, then its bytes. Memory in no extent is zero. All
/// numbers are little-endian.
enum SavedState {
    static let magic = Array("MEDIATED".utf8)
    static let version: UInt32 = 1
    static let headerSize = 16
    static let extentHeaderSize = 24
    /// The longest JSON that is taken: far more than any device has.
    static let maximumJSON = 16 << 20

    /// What the JSON says, but for the member ``deviceMember``.
    struct Document: Codable {
        var type: String
        /// The size of the memory behind each BAR, by index; a state fits a device that has the same.
        var memory: [Int: Int]
        var function: Function.State
    }

    /// The member with the device's own state.
    static let deviceMember = "device"
}

extension Function {
    fileprivate var memoryByBAR: [Int: MemoryFile] {
        var memory: [Int: MemoryFile] = [:]
        for index in 0..<6 {
            if let region = region(index), let file = region.memory, !region.mapped.isEmpty { memory[index] = file }
        }
        return memory
    }

    fileprivate func document() throws(JSONError) -> JSON {
        let document = SavedState.Document(
            type: typeName, memory: memoryByBAR.mapValues(\.size), function: state)
        var members = try JSON(encoding: document).object ?? [:]
        members[SavedState.deviceMember] = try device.encodedState()
        return .object(members)
    }

    private var typeName: String { Swift.type(of: device).type.name }

    fileprivate func check(_ document: SavedState.Document) throws(StateError) {
        guard document.type == typeName else {
            throw StateError("The state is that of a '\(document.type)'; this device is a '\(typeName)'.")
        }
        guard document.memory == memoryByBAR.mapValues(\.size) else {
            throw StateError("The state's device has other memory sizes; make this one with the same options.")
        }
    }
}

extension Device {
    fileprivate func encodedState() throws(JSONError) -> JSON {
        try JSON(encoding: state)
    }

    fileprivate func restore(encoded: JSON) throws(StateError) {
        let decoded: State
        do throws(JSONError) {
            decoded = try encoded.decode(State.self)
        } catch {
            throw StateError("The device's state can't be read: \(error)")
        }
        try restore(decoded)
    }
}

/// Gives out a function's state piece by piece. The device must stand still from the first piece to the last.
public final class StateReader {
    private let memory: [Int: MemoryFile]
    /// Bytes that are ready to go out, from ``position`` on.
    private var ready: [UInt8]
    private var position = 0
    /// Extents that are still to come, in order.
    private var extents: ArraySlice<(bar: Int, range: Range<Int>)> = []
    /// The extent whose bytes go out once ``ready`` is empty.
    private var current: (bar: Int, range: Range<Int>)?
    private var isEnded = false

    /// Takes the registers' state now; memory is read as it is given out.
    ///
    /// - Throws: `JSONError` when the device's state can't be encoded, `Errno` for its memory.
    public init(_ function: Function) throws {
        memory = function.memoryByBAR
        let text = Array(try function.document().text.utf8)
        ready = SavedState.magic
        ready.append(SavedState.version)
        ready.append(UInt32(text.count))
        ready += text
        for (bar, file) in memory.sorted(by: { $0.key < $1.key }) {
            extents += try file.dataExtents().map { (bar, $0) }
        }
    }

    /// Fills `target` with the next bytes.
    ///
    /// - Returns: how many there are; fewer than `target` has only at the end.
    public func read(into target: inout MutableRawSpan) -> Int {
        var done = 0
        while done < target.byteCount {
            if position < ready.count {
                let count = min(ready.count - position, target.byteCount - done)
                let ready = ready
                target.copy(ready.span.bytes.extracting(position..<position + count), to: done)
                position += count
                done += count
            } else if let (bar, range) = current {
                let count = min(range.count, target.byteCount - done)
                var part = target._mutatingExtracting(done..<done + count)
                memory[bar]?.copy(at: range.lowerBound, count: count, into: &part)
                current = count == range.count ? nil : (bar, range.lowerBound + count..<range.upperBound)
                done += count
            } else if !isEnded {
                nextExtent()
            } else {
                break
            }
        }
        return done
    }

    private func nextExtent() {
        ready.removeAll(keepingCapacity: true)
        position = 0
        let extent = extents.popFirst()
        ready.append(UInt32(extent?.bar ?? 0))
        ready.append(UInt32(0))
        ready.append(UInt64(extent?.range.lowerBound ?? 0))
        ready.append(UInt64(extent?.range.count ?? 0))
        current = extent
        isEnded = extent == nil
    }
}

/// Takes a function's state in, piece by piece. Registers change at the very end, when all of it is known to fit;
/// the memory behind BARs is cleared and filled on the way.
public final class StateWriter {
    private enum Expecting {
        case header
        case document(count: Int)
        case extentHeader
        case extent(bar: Int, offset: Int, left: Int)
        case end
    }

    private let function: Function
    private let memory: [Int: MemoryFile]
    private var expecting = Expecting.header
    private var collected: [UInt8] = []
    private var document: SavedState.Document?
    private var deviceState = JSON.null

    public init(_ function: Function) {
        self.function = function
        memory = function.memoryByBAR
    }

    /// Takes the next bytes.
    ///
    /// - Throws: ``StateError`` when they can't be part of a state of this device; the memory behind its BARs
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
            case .extent(let bar, let offset, let left):
                let count = min(left, rest.byteCount)
                memory[bar]?.replace(at: offset, with: rest.extracting(first: count))
                rest = rest.extracting(droppingFirst: count)
                expecting =
                    count == left
                    ? .extentHeader : .extent(bar: bar, offset: offset + count, left: left - count)
            case .end: throw StateError("\(rest.byteCount) bytes follow the end of the state.")
            }
        }
    }

    /// Puts the function into the state, which must have come to its end.
    ///
    /// - Throws: ``StateError`` when something is missing or doesn't fit.
    public func finish() throws(StateError) {
        guard case .end = expecting, let document else { throw StateError("The state is cut off.") }
        // Two parts that both may refuse: the old state of the first comes back when the second does.
        let before = function.state
        try function.restore(document.function)
        do throws(StateError) {
            try function.device.restore(encoded: deviceState)
        } catch {
            try function.restore(before)
            throw error
        }
    }

    /// Moves bytes from `rest` until `count` are collected.
    private func collect(_ count: Int, from rest: inout RawSpan) -> Bool {
        let wanted = min(count - collected.count, rest.byteCount)
        for index in 0..<wanted {
            collected.append(rest.unsafeLoad(fromByteOffset: index, as: UInt8.self))
        }
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
        let document: SavedState.Document
        do throws(JSONError) {
            let tree = try JSON(parsing: collected)
            document = try tree.decode(SavedState.Document.self)
            deviceState = tree[SavedState.deviceMember] ?? .null
        } catch {
            throw StateError("The state's document can't be read: \(error)")
        }
        try function.check(document)
        for file in memory.values {
            do throws(Errno) {
                try file.clear()
            } catch {
                throw StateError("The device's memory can't be cleared: \(error)")
            }
        }
        self.document = document
        collected.removeAll()
        expecting = .extentHeader
    }

    private func readExtentHeader() throws(StateError) {
        let bar = Int(collected.number(at: 0, as: UInt32.self))
        let offset = collected.number(at: 8, as: UInt64.self)
        let length = collected.number(at: 16, as: UInt64.self)
        collected.removeAll()
        guard length > 0 else {
            expecting = .end
            return
        }
        guard let file = memory[bar], offset <= UInt64(file.size), length <= UInt64(file.size) - offset else {
            throw StateError("The state has \(length) bytes at \(offset) of BAR \(bar), where there is no memory.")
        }
        expecting = .extent(bar: bar, offset: Int(offset), left: Int(length))
    }
}

extension [UInt8] {
    /// Appends a number, lowest byte first.
    fileprivate mutating func append<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) {
        for shift in stride(from: 0, to: Number.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    /// The number at `offset`, lowest byte first.
    fileprivate func number<Number: FixedWidthInteger & UnsignedInteger>(at offset: Int, as type: Number.Type) -> Number
    {
        var number: Number = 0
        for index in (0..<Number.bitWidth / 8).reversed() { number = number << 8 | Number(self[offset + index]) }
        return number
    }
}
