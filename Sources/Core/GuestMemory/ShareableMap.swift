import Linux

/// A map of guest memory as something that another process can map too: a range of a file. It is no claim on the map:
/// who hands it on pins it.
public struct ShareableMap {
    /// Where it begins, and its last address.
    public let address: UInt64
    public let last: UInt64
    public let access: DMAAccess
    /// Where in the file it begins, a multiple of 4096.
    public let offset: UInt64
    let file: MappedFile

    /// The file.
    public var descriptor: Descriptor {
        _read { yield file.descriptor }
    }
}
