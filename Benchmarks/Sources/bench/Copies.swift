import Glibc
import GuestMemory
import Linux

/// Copies by DMA from guest memory, against a plain copy of the same bytes.
struct Copies {
    private static let size = 1 << 20
    private static let rounds = 200

    static func compare() throws -> Result {
        let memory = AddressSpace()
        let file = try MemoryFile(name: "bench", size: size)
        try memory.map(
            address: 0, size: UInt64(size), access: [.read, .write],
            backing: .file(file.descriptor.duplicate(), offset: 0))
        var target = [UInt8](repeating: 0, count: size)
        var (values, floors): ([Double], [Double]) = ([], [])
        for _ in 0..<rounds {
            values.append(
                try time {
                    var span = target.mutableSpan
                    var bytes = span.mutableBytes
                    try memory.read(at: 0, into: &bytes)
                })
            floors.append(
                time { _ = target.withUnsafeMutableBytes { memcpy($0.baseAddress!, file.mapping.base, size) } })
        }
        return Result(
            name: "DMA read of 1 MiB of guest memory; floor: memcpy", unit: "ns", value: median(values),
            floor: median(floors), ratio: median(zip(values, floors).map { $0 / $1 }))
    }

    private static func time<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) -> Double {
        let start = now()
        try body()
        return Double(now() - start)
    }
}
