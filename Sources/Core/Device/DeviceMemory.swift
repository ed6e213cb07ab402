import Linux

/// The memory behind a function's BARs and that of its device's own, by name: all that the client may have mapped of
/// it.
///
/// It is the host's and outlives the device. A device that is made anew over the same host asks by the same names and
/// finds what the one before it had, with what is in it; whoever has it mapped sees the same pages before and after.
/// ``Function/remade(_:)``
public final class DeviceMemory {
    /// Makes memory that reads as zeros.
    ///
    /// - Parameters:
    ///   - name: what the device calls it.
    ///   - size: in bytes; it may be rounded up to whole pages.
    ///   - isOwnAlone: nobody but this process may write to it.
    ///   - isBehindBAR: the guest may have its pages where it puts a BAR.
    public typealias Maker = (
        _ name: String, _ size: Int, _ isOwnAlone: Bool, _ isBehindBAR: Bool
    ) throws(Errno) -> MappedBytes

    /// One piece of it, as it was asked for.
    struct Piece {
        let bytes: MappedBytes
        let size: Int
        let isOwnAlone: Bool
        /// Whether the device that is there now has asked for it.
        var isTaken: Bool
    }

    private(set) var pieces: [String: Piece] = [:]
    private let make: Maker

    /// - Parameter make: makes files that others can map unless given: for a hypervisor where memory comes from
    ///   elsewhere.
    public init(
        make: @escaping Maker = { (name, size, isOwnAlone, _) throws(Errno) in
            try MemoryFile(name: name, size: size, isOwnAlone: isOwnAlone)
        }
    ) {
        self.make = make
    }

    /// The memory of a name: what a device before this one left there, or zeros.
    ///
    /// - Parameters:
    ///   - name: one that the device has not asked for yet.
    ///   - size: in bytes, at least 1.
    ///   - isOwnAlone: clients can read and map it for reading, and write nothing: for ``BAR/shared(_:_:)``.
    ///   - isBehindBAR: a ``BAR`` has it as its ``BAR/memory``. A hypervisor that can't map files gives such memory to
    ///     the guest;
    ///     what isn't said to be behind a BAR no guest gets.
    /// - Throws: ``DeviceMemoryError``
    public func take(
        _ name: String, size: Int, isOwnAlone: Bool = false, isBehindBAR: Bool = false
    ) throws(DeviceMemoryError) -> MappedBytes {
        if let piece = pieces[name] {
            guard !piece.isTaken else { throw .taken(name) }
            guard piece.size == size else { throw .size(name, wanted: size, kept: piece.size) }
            guard piece.isOwnAlone == isOwnAlone else { throw .protection(name, isOwnAlone: piece.isOwnAlone) }
            pieces[name]?.isTaken = true
            return piece.bytes
        }
        let bytes: MappedBytes
        do throws(Errno) {
            bytes = try make(name, size, isOwnAlone, isBehindBAR)
        } catch {
            throw .system(name, size: size, error)
        }
        pieces[name] = Piece(bytes: bytes, size: size, isOwnAlone: isOwnAlone, isTaken: true)
        return bytes
    }

    /// What the device calls a memory; nil when it has no such.
    func name(of bytes: MappedBytes) -> String? {
        pieces.first { $0.value.bytes === bytes }?.key
    }

    // MARK: From one device to the next

    /// The device is taken down: all that it had waits for the next one.
    ///
    /// - Returns: what there was, for ``takeBack(_:)``.
    func release() -> [String: Piece] {
        defer { for name in pieces.keys { pieces[name]?.isTaken = false } }
        return pieces
    }

    /// The next device could not be made, and the one before it goes on with what it had.
    func takeBack(_ pieces: [String: Piece]) {
        self.pieces = pieces
    }

    /// The next device is there: what it has not asked for nobody will.
    func dropUntaken() {
        pieces = pieces.filter(\.value.isTaken)
    }
}

/// Why a device doesn't get memory.
public enum DeviceMemoryError: Error, Equatable, Sendable {
    /// The device has asked for this name already.
    case taken(String)
    /// A device before it had another size there, in bytes.
    case size(String, wanted: Int, kept: Int)
    /// A device before it had memory there that others may write to, and this one wants the other kind, or the other
    /// way round.
    case protection(String, isOwnAlone: Bool)
    case system(String, size: Int, Errno)
}

extension DeviceMemoryError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .taken(let name):
            "The device asks for memory '\(name)' a second time."
        case .size(let name, let wanted, let kept):
            "The device wants \(wanted) bytes of memory '\(name)', but the one before it had \(kept) there."
        case .protection(let name, let isOwnAlone):
            "The device wants memory '\(name)' that others may \(isOwnAlone ? "" : "not ")write to, other than the one before it."
        case .system(let name, let size, let error):
            "There are no \(size) bytes for memory '\(name)': \(error)."
        }
    }
}
