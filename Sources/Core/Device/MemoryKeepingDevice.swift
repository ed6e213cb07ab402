import Linux

/// A device with memory of its own that belongs to its state, such as pixels that no BAR shows.
public protocol MemoryKeepingDevice: AnyObject {
    /// The same memories, of the same sizes, as long as the device lives.
    ///
    /// A state that is saved while the device runs holds the registers of one moment, and memory of that moment or a
    /// later one. Memory that goes to another owner is made zero first, by ``MappedBytes/clear(_:)``; the saving then
    /// begins anew.
    var memory: [MappedBytes] { get }
}
