import FakeGuest
import FuzzSupport
import Linux
import VFIO

/// One server for the whole run: its device keeps whatever the inputs did to it.
private let device = try? ServedDevice("exerciser")

/// Puts what the input says into a client's access ring, and commands into its ioregion: words of slots, positions, packets.
private func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) {
    guard let device else { fuzzFailed("The device could not be served.") }
    do {
        let client = try RawClient(path: device.path)
        let ring = try RawRing(client)
        let reply = try client.call(.deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), UInt32(0), UInt32(0)))
        guard let end = reply.files.last else { fuzzFailed("The exerciser has no ioregion.") }
        let ioregion = try RawClient(UnixSocket(owning: end.descriptor.duplicate()))
        var input = Input(start, count)
        while !input.isEmpty { try step(ring, ioregion, &input) }
        // The last word of a client that keeps the rules is answered.
        try client.send(.deviceReset)
        try client.awaitEnd()
    } catch {
        // The server may end the session, or the ioregion; it must take the next client.
    }
    guard (try? RawClient(path: device.path)) != nil else { fuzzFailed("The server takes no connection any more.") }
}

private func step(_ ring: RawRing, _ ioregion: RawClient, _ input: inout Input) throws {
    let action = input.byte()
    switch action & 7 {
    case 0: ring.tail = UInt32(input.number(bytes: 4))
    case 1: ring.head = UInt32(input.number(bytes: 4))
    case 2: ring[UInt32(input.byte()), Int(action >> 4)] = UInt32(input.number(bytes: 4))
    case 3: try ioregion.send(input.take(32))
    case 4:
        let command = IORegionCommand(
            isWrite: action & 0x80 != 0, width: 1 << Int(action >> 4 & 3), wantsResponse: false,
            userData: 0, offset: input.number(bytes: 1), data: input.number(bytes: 4))
        try ioregion.send(wire(command.write))
    default:
        ring.put(
            kind: UInt32(action >> 3 & 3), region: UInt32(action >> 5), offset: input.number(bytes: 2),
            count: UInt32(input.byte() & 0x3f), data: UInt32(input.number(bytes: 4)))
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
