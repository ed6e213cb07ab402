import CLinux

/// Both ends of a pipe, which don't block and are closed in programs. `pipe2(2)`
@frozen
public struct PipeEnds: ~Copyable {
    public var reader: Descriptor
    public var writer: Descriptor

    public init() throws(Errno) {
        var raw: [Int32] = [-1, -1]
        try shim(clinux_pipe(&raw))
        reader = Descriptor(owning: raw[0])
        writer = Descriptor(owning: raw[1])
    }
}
