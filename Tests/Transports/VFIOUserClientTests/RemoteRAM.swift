import Linux
import VFIOUserClient

/// Memory of a client that has no file: what the server reaches by messages.
final class RemoteRAM: ClientMemory {
    let start: UInt64
    var bytes: [UInt8]
    /// The size of each transfer that the server asked for.
    private(set) var transfers: [Int] = []
    /// Called before each answer.
    var onRequest: () -> Void = {}
    /// What to answer instead.
    var failure: Errno?

    init(start: UInt64, count: Int) {
        self.start = start
        bytes = [UInt8](repeating: 0, count: count)
    }

    func read(at address: UInt64, into target: inout MutableRawSpan) throws(Errno) {
        let range = try range(address, target.byteCount)
        let bytes = bytes
        target.copy(bytes.span.bytes.extracting(range), to: 0)
    }

    func write(at address: UInt64, from source: RawSpan) throws(Errno) {
        let range = try range(address, source.byteCount)
        source.withUnsafeBytes { bytes.replaceSubrange(range, with: $0) }
    }

    private func range(_ address: UInt64, _ count: Int) throws(Errno) -> Range<Int> {
        onRequest()
        transfers.append(count)
        if let failure { throw failure }
        guard address >= start, address - start <= UInt64(bytes.count), count <= bytes.count - Int(address - start)
        else {
            throw .badAddress
        }
        return Int(address - start)..<Int(address - start) + count
    }
}
