import CLinux

/// Both ends of a pipe, which are closed in programs. `pipe2(2)`
@frozen
public struct PipeEnds: ~Copyable {
    public var reader: Descriptor
    public var writer: Descriptor

    /// - Parameter blocks: whether who reads or writes waits.
    public init(blocks: Bool = false) throws(Errno) {
        var raw: [Int32] = [-1, -1]
        try shim(clinux_pipe(&raw, blocks))
        reader = Descriptor(owning: raw[0])
        writer = Descriptor(owning: raw[1])
    }
}
