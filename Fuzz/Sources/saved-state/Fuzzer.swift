import Device
import DeviceCatalog
import FuzzSupport
import Linux

/// Feeds the input to a device as a saved state; most are refused, and none may do harm.
private func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) {
    do {
        let host = Host(loop: try EventLoop())
        let function = try Function(try DeviceCatalog.make("serial", options: [], host: host), host: host)
        let writer = StateWriter(function)
        var input = Input(start, count)
        // The header is always right, so that the fuzzer gets behind it.
        let text = input.take(count)
        let size = UInt32(text.count)
        let header =
            Array("MEDIATED".utf8) + [1, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) }
        try writer.write((header + text + [UInt8](repeating: 0, count: 24)).span.bytes)
        try writer.finish()
    } catch {
        // Refused, as it should be.
    }
}

@main
enum Fuzzer {
    static func main() {
        runFuzzer { start, count in
            fuzz(start, count)
            return 0
        }
    }
}
