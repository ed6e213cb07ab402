import Linux

/// A device with memory of its own that belongs to its state, such as pixels that no BAR shows.
public protocol MemoryKeepingDevice: AnyObject {
    /// The same files, of the same sizes, as long as the device lives.
    var memory: [MemoryFile] { get }
}
