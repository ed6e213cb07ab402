import Linux

/// Plays the world's part for a function, in the place of the system and of whoever is at the other end of a line: a
/// recording that is lived again. Guest memory is played by the maps' `RemoteMemory`, the clock by ``Host/clock``, and
/// what the loop waits for by `EventLoop.play(_:_:)`.
public protocol World: AnyObject {
    /// Fills `bytes` with what the random numbers were.
    func fill(_ bytes: inout MutableRawSpan)

    /// The device is about to look at memory of its own: what the guest had left there goes there now.
    func willLook(at memory: MappedBytes, from offset: Int, count: Int)

    /// Whether somebody has come to the other end of what has this name.
    func isThereSomebody(at name: String) -> Bool
    /// What comes from the other end now: at most `limit` bytes, for which there is room.
    func receive(from name: String, into bytes: inout MutableRawSpan, limit: Int) -> ByteStream.Transfer
    /// How much the other end takes now.
    func send(_ bytes: RawSpan, to name: String) -> ByteStream.Transfer
}
