import JSON
import Linux

/// Gives out a function's state piece by piece: its registers as they were when this was made, its memory as it is when
/// it is given out. Either the device stands still from the first piece to the last, or ``isCurrent`` says before each
/// whether it can go on.
public final class StateReader {
    private let function: Function
    private let memory: [Int: MappedBytes]
    /// How often each memory was cleared before.
    private let clearings: [Int: Int]
    private let restorations: Int
    /// Bytes that are ready to go out, from ``position`` on.
    private var ready: [UInt8]
    private var position = 0
    /// Extents that are still to come, in order.
    private var extents: ArraySlice<(memory: Int, range: Range<Int>)> = []
    /// The extent whose bytes go out once ``ready`` is empty.
    private var current: (memory: Int, range: Range<Int>)?
    private var isEnded = false
    /// How long the whole state is, in bytes.
    public let size: Int

    /// Takes the registers' state now; memory is read as it is given out.
    ///
    /// - Throws: ``StateError`` when the device has what no state can hold, `JSONError` when its state can't be
    ///   encoded, `Errno` for its memory.
    public init(_ function: Function) throws {
        try function.device.requireSavable()
        function.clearBeyondMappedParts()
        self.function = function
        memory = function.savedMemory
        clearings = memory.mapValues(\.clearings)
        restorations = function.restorations
        let text = Array(try function.document().text.utf8)
        ready = SavedState.magic
        ready.append(SavedState.version)
        ready.append(UInt32(text.count))
        ready += text
        for (number, file) in memory.sorted(by: { $0.key < $1.key }) {
            extents += try file.dataExtents().map { (number, $0) }
        }
        let ends = (extents.count + 1) * SavedState.extentHeaderSize
        size = extents.reduce(ready.count + ends) { $0 + $1.range.count }
    }

    /// Whether the pieces still fit together: since this was made no memory was made zero, and no other state was
    /// restored.
    public var isCurrent: Bool {
        restorations == function.restorations && clearings == memory.mapValues(\.clearings)
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
            } else if let (number, range) = current {
                let count = min(range.count, target.byteCount - done)
                var part = target._mutatingExtracting(done..<done + count)
                memory[number]?.copy(at: range.lowerBound, count: count, into: &part)
                current = count == range.count ? nil : (number, range.lowerBound + count..<range.upperBound)
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
        ready.append(UInt32(extent?.memory ?? 0))
        ready.append(UInt32(0))
        ready.append(UInt64(extent?.range.lowerBound ?? 0))
        ready.append(UInt64(extent?.range.count ?? 0))
        current = extent
        isEnded = extent == nil
    }
}

extension [UInt8] {
    /// Appends a number, lowest byte first.
    fileprivate mutating func append<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) {
        for shift in stride(from: 0, to: Number.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: number >> shift)) }
    }
}
