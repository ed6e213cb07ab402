import JSON
import Linux

/// A function's saved state as a stream of bytes: what `mediated save` writes and what migration carries.
///
///     "MEDIATED" | version: u32 | length: u32 | that many bytes of JSON | extents … | an extent of length 0
///
/// The JSON is the shell's and the device's state as values, each in a form with a version of its own: ``Stateful``.
/// The version in front is that of what is around them. An extent is a piece of memory: that behind a BAR, by its
/// index, or the device's own, from 16 on. Memory: u32, zero: u32, offset: u64, length: u64, then its bytes. Memory in
/// no extent is zero. All numbers are little-endian.
enum SavedState {
    static let magic = Array("MEDIATED".utf8)
    static let version: UInt32 = 1
    static let headerSize = 16
    static let extentHeaderSize = 24
    /// The longest JSON that is taken, and the most values in it: a virtio-gpu whose guest has all the resources that
    /// it may have, in 131,072 pieces of memory, has nearly as many. The values then take less than 100 MiB while they
    /// are read. Each piece has up to 32 digits and signs, as its guest likes, so the text alone may be longer than 4
    /// MiB.
    static let maximumJSON = 1 << 23
    static let maximumValues = 1 << 19
    /// The number of the first of ``Function/ownMemory``.
    static let firstOwnMemory = 16

    /// What the JSON says, but for the two states, which are read when their versions are known.
    struct Document: Codable {
        var type: String
        /// The size of each memory, by its number; a state fits a device that has the same.
        var memory: [Int: Int]
        /// nil: the first ones, as in states of before there were versions.
        var versions: Versions?
    }

    /// In which versions' forms the two states are.
    struct Versions: Codable {
        var function = 1
        var device = 1
    }

    /// The members with the shell's and the device's state.
    static let functionMember = "function"
    static let deviceMember = "device"
}

extension Function {
    /// How long a saved state of this function can be at most, in bytes. Memory may be in extents of one page each.
    public var largestState: Int {
        let front = SavedState.headerSize + SavedState.maximumJSON + SavedState.extentHeaderSize
        return savedMemory.values.reduce(front) { $0 + $1.size + ($1.size / 4096 + 1) * SavedState.extentHeaderSize }
    }

    /// What is saved in extents, by number.
    var savedMemory: [Int: MappedBytes] {
        var memory: [Int: MappedBytes] = [:]
        for index in 0..<6 {
            // Shared registers follow from the device's own state.
            guard let region = region(index), region.isWritable, !region.isTransient, !region.mapped.isEmpty else {
                continue
            }
            memory[index] = region.memory
        }
        for (index, file) in ownMemory.enumerated() { memory[SavedState.firstOwnMemory + index] = file }
        return memory
    }

    func document() throws(JSONError) -> JSON {
        let document = SavedState.Document(
            type: type.name, memory: savedMemory.mapValues(\.size),
            versions: .init(function: Self.stateVersion, device: deviceType.stateVersion))
        var members = try JSON(encoding: document).object ?? [:]
        members[SavedState.functionMember] = try JSON(encoding: state)
        members[SavedState.deviceMember] = try device.encodedState()
        return .object(members)
    }

    private var deviceType: any Device.Type { Swift.type(of: device) }

    /// The two states of a document, in the forms of this program.
    ///
    /// - Throws: ``StateError`` when they can't be those of this function.
    func states(
        in tree: JSON, _ document: SavedState.Document
    ) throws(StateError) -> (function: JSON, device: JSON) {
        guard document.type == type.name else {
            throw StateError("The state is that of a '\(document.type)'; this device is a '\(type.name)'.")
        }
        let versions = document.versions ?? .init()
        let function = try Self.upToDate(
            tree[SavedState.functionMember] ?? .null, from: versions.function, of: "the PCI function")
        let device = try deviceType.upToDate(
            tree[SavedState.deviceMember] ?? .null, from: versions.device, of: "'\(type.name)'")
        guard document.memory == savedMemory.mapValues(\.size) else {
            throw StateError("The state's device has other memory sizes; make this one with the same options.")
        }
        return (function, device)
    }
}

extension Device {
    func encodedState() throws(JSONError) -> JSON {
        try JSON(encoding: state)
    }

    func restore(encoded: JSON) throws(StateError) {
        let decoded: State
        do throws(JSONError) {
            decoded = try encoded.decode(State.self)
        } catch {
            throw StateError("The device's state can't be read: \(error)")
        }
        try restore(decoded)
    }
}
