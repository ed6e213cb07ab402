import JSON
import Linux

/// A function's saved state as a stream of bytes: what `mediated save` writes and what migration carries.
///
///     "MEDIATED" | version: u32 | length: u32 | that many bytes of JSON | extents … | an extent of length 0
///
/// The JSON is the shell's and the device's state as values. An extent is a piece of memory: that behind a BAR, by its index, or
/// the device's own, from 16 on. Memory: u32, zero: u32, offset: u64, length: u64, then its bytes. Memory in no extent is
/// zero. All numbers are little-endian.
enum SavedState {
    static let magic = Array("MEDIATED".utf8)
    static let version: UInt32 = 1
    static let headerSize = 16
    static let extentHeaderSize = 24
    /// The longest JSON that is taken, and the most values in it: a virtio-gpu whose guest has all the resources that it may
    /// have, in 131,072 pieces of memory, has nearly as many. The values then take less than 100 MiB while they are read. Each piece
    /// has up to 32 digits and signs, as its guest likes, so the text alone may be longer than 4 MiB.
    static let maximumJSON = 1 << 23
    static let maximumValues = 1 << 19
    /// The number of the first of ``Device/Device/memory``.
    static let firstOwnMemory = 16

    /// What the JSON says, but for the member ``deviceMember``.
    struct Document: Codable {
        var type: String
        /// The size of each memory, by its number; a state fits a device that has the same.
        var memory: [Int: Int]
        var function: Function.State
    }

    /// The member with the device's own state.
    static let deviceMember = "device"
}

extension Function {
    /// What is saved in extents, by number.
    var savedMemory: [Int: MemoryFile] {
        var memory: [Int: MemoryFile] = [:]
        for index in 0..<6 {
            // Shared registers follow from the device's own state.
            guard let region = region(index), region.isWritable, !region.mapped.isEmpty else { continue }
            memory[index] = region.memory
        }
        for (index, file) in device.memory.enumerated() { memory[SavedState.firstOwnMemory + index] = file }
        return memory
    }

    func document() throws(JSONError) -> JSON {
        let document = SavedState.Document(
            type: typeName, memory: savedMemory.mapValues(\.size), function: state)
        var members = try JSON(encoding: document).object ?? [:]
        members[SavedState.deviceMember] = try device.encodedState()
        return .object(members)
    }

    private var typeName: String { Swift.type(of: device).type.name }

    func check(_ document: SavedState.Document) throws(StateError) {
        guard document.type == typeName else {
            throw StateError("The state is that of a '\(document.type)'; this device is a '\(typeName)'.")
        }
        guard document.memory == savedMemory.mapValues(\.size) else {
            throw StateError("The state's device has other memory sizes; make this one with the same options.")
        }
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
