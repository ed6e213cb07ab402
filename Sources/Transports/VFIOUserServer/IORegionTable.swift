import Alteration
import Device
import Linux
import Tap
import VFIO

/// The sockets over which a hypervisor sends accesses to ranges of registers, past the client. ioregionfd
final class IORegionTable {
    private final class Connection {
        let socket: UnixSocket
        /// For the client; open as long as the connection.
        let theirEnd: UnixSocket
        let packet: PageBuffer
        var token: EventLoop.Token?
        /// While a command waits before it is carried out.
        var parking: Parking?

        /// - Parameter lane: where what comes from the client is closed.
        init(closedIn lane: ClosingLane) throws(Errno) {
            let pair = try UnixSocket.pair(keepsPackets: true, closedIn: lane)
            socket = try UnixSocket(owning: pair.first.descriptor.duplicate())
            theirEnd = try UnixSocket(owning: pair.second.descriptor.duplicate())
            packet = try PageBuffer(count: 4096)
        }
    }

    /// How many commands of one connection a turn of the loop takes.
    private static let commandsPerTurn = 64

    private unowned let session: Session
    private let loop: EventLoop
    private var connections: [Int: Connection] = [:]

    init(_ session: Session) {
        self.session = session
        loop = session.function.host.loop
    }

    /// The client's end of the socket for a BAR's ranges; the same one each time it is asked for.
    func descriptor(ofBAR bar: Int) throws(Errno) -> Int32 {
        if let connection = connections[bar] { return connection.theirEnd.descriptor.raw }
        let connection = try Connection(closedIn: loop.clientLane)
        connection.token = try loop.watch("ioregion", connection.socket.descriptor, for: .readable) {
            [unowned self] _ in
            serve(connection, bar)
        }
        connections[bar] = connection
        return connection.theirEnd.descriptor.raw
    }

    /// Closes every socket.
    func reset() {
        for bar in connections.keys { close(bar) }
    }

    private func close(_ bar: Int) {
        let connection = connections.removeValue(forKey: bar)
        if let token = connection?.token { loop.unwatch(token) }
        connection?.parking?.cancel()
    }

    private func serve(_ connection: Connection, _ bar: Int) {
        do {
            for _ in 0..<Self.commandsPerTurn {
                var descriptors = ReceivedDescriptors()
                let received = try connection.socket.receive(
                    into: connection.packet, from: 0, descriptors: &descriptors, blocking: false)
                guard case .bytes(let count, _, _) = received else {
                    if received == .endOfFile { close(bar) }
                    return
                }
                let command = try IORegionCommand(connection.packet.bytes(0..<count))
                if session.function.isWatched, parks(command, connection, bar) { return }
                try answer(command, connection, bar)
            }
        } catch {
            close(bar)
        }
    }

    private func answer(_ command: IORegionCommand, _ connection: Connection, _ bar: Int) throws {
        let start = session.counters.latency.begin()
        defer { session.counters.latency.end(start) }
        let response = IORegionResponse(data: carryOut(command, bar))
        guard command.wantsResponse else { return }
        var bytes = connection.packet.mutableBytes(0..<IORegionResponse.size)
        let size = response.write(into: &bytes)
        // Whoever doesn't take its responses is no hypervisor.
        try connection.socket.send(connection.packet.bytes(0..<size), within: .zero)
    }

    /// Whether a command is to wait, and those behind it with it.
    private func parks(_ command: IORegionCommand, _ connection: Connection, _ bar: Int) -> Bool {
        guard let alterer = session.function.host.alterer, let token = connection.token else { return false }
        let (offset, data) = (command.userData &+ command.offset, [command.data])
        let passage: Passage =
            command.isWrite
            ? .write(region: bar, offset: offset, by: .ioregion) : .read(region: bar, offset: offset, by: .ioregion)
        let bytes = data.span.bytes.extracting(first: command.isWrite ? command.width : 0)
        connection.parking = alterer.parking(of: passage, bytes, since: nil) { [weak self, weak connection] _ in
            guard let self, let connection else { return }
            connection.parking = nil
            do {
                try loop.change(token, to: .readable)
                try answer(command, connection, bar)
            } catch {
                close(bar)
            }
        }
        guard connection.parking != nil else { return false }
        try? loop.change(token, to: [])
        return true
    }

    /// - Returns: what was read; all ones from where no such range is, as on a bus.
    private func carryOut(_ command: IORegionCommand, _ bar: Int) -> UInt64 {
        let ranges = session.function.region(bar)?.ioregions ?? []
        guard let range = ranges.first(where: { $0.lowerBound == command.userData }),
            command.offset <= UInt64(range.count), UInt64(command.width) <= UInt64(range.count) - command.offset
        else { return .max }
        var data = command.data
        let offset = range.lowerBound + command.offset
        do {
            if command.isWrite {
                // SAFETY: the bytes are a local number's, and used in the closure only; the width is 8 at most.
                try withUnsafeBytes(of: &data) { bytes in
                    try session.write(
                        region: bar, offset: offset, bytes.bytes.extracting(first: command.width), by: .ioregion)
                }
                return 0
            }
            data = 0
            // SAFETY: as above.
            try withUnsafeMutableBytes(of: &data) { bytes in
                var span = bytes.mutableBytes
                var part = span._mutatingExtracting(0..<command.width)
                try session.read(region: bar, offset: offset, into: &part, by: .ioregion)
            }
            return data
        } catch {
            session.counters.errors &+= 1
            return .max
        }
    }
}
