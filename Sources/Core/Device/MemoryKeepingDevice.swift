import Linux

/// A device with memory of its own that belongs to its state, such as pixels that no BAR shows.
public protocol MemoryKeepingDevice: AnyObject {
    /// The same memories, of the same sizes, as long as the device lives.
    ///
    /// A state that is saved while the device runs has them, as what BARs map, as they are at any moment from that of ``Device/state`` on. What
    /// is given to others is made zero first, by ``MappedBytes/clear(_:)``: then the saving begins anew.
    var memory: [MappedBytes] { get }
}
