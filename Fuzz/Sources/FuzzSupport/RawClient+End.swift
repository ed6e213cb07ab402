import FakeGuest
import Glibc
import Linux

extension RawClient {
    /// Says that nothing more comes, and waits until the server has seen to all that came and hung up: what an input does is
    /// done before the next one begins.
    public func awaitEnd() throws(Errno) {
        shutdown(socket.descriptor.raw, Int32(SHUT_WR))
        while try receive() != nil {}
    }
}
