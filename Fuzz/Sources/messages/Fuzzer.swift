import FakeGuest
import FuzzSupport
import Linux
import VFIO

/// One server for the whole run: its device keeps whatever the inputs did to it.
private let device = try? ServedDevice("exerciser")

/// Sends the input as messages: a command, its flags, and a payload of up to 255 bytes, or raw bytes.
private func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) {
    guard let device else { fuzzFailed("The device could not be served.") }
    do {
        let client = try RawClient(path: device.path)
        try client.negotiate()
        var input = Input(start, count)
        while !input.isEmpty {
            let kind = input.byte()
            let payload = input.take(Int(input.byte()))
            if kind & 0x80 != 0 {
                try client.send(payload)
            } else {
                // Without replies, so that nothing has to be read.
                try client.send(message(command: UInt16(kind & 0x1f), id: 1, payload, flags: 0x10))
            }
        }
        try client.awaitEnd()
    } catch {
        // The server may close the connection; it must take the next one.
    }
    guard (try? RawClient(path: device.path)) != nil else { fuzzFailed("The server takes no connection any more.") }
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
