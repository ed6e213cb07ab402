import Control
import Device
import JSON
import Linux
import PCI
import VFIOUserServer

/// Makes the server that a function is to have: of vfio-user, on a socket.
///
/// - Parameters:
///   - arguments: what is said of the function.
///   - process: what is said of all that its process serves.
///   - events: what happens to clients goes there.
func makeServer(
    of function: Function, _ arguments: DeviceArguments.Function, _ process: DeviceArguments, events: EventLog
) throws(Failure) -> any FunctionServer {
    let listener = try UnixListener.make(
        at: arguments.socket, mode: process.mode, or: arguments.socketDescriptor, .socketDescriptor)
    var configuration = Server.Configuration()
    configuration.isPolling = process.isPolling
    configuration.allowedPeers = process.allowedPeers
    configuration.onEvent = { events.append(ControlEvent.Kind($0), $0.description) }
    return Server(function, listener: listener, configuration: configuration)
}

extension Server: FunctionServer {
    var counters: JSON.Object { statistics.members }
}

extension ControlEvent.Kind {
    /// What a server's event is called.
    fileprivate init(_ event: Server.Event) {
        self =
            switch event {
            case .clientConnected: .clientConnected
            case .clientLeft: .clientLeft
            case .clientDenied: .clientDenied
            case .clientRefused: .clientRefused
            case .clientSilent: .clientSilent
            case .connectionFailed: .connectionFailed
            }
    }
}

extension Statistics {
    /// The counters by name; accesses by region.
    fileprivate var members: JSON.Object {
        func byRegion(_ counts: InlineArray<9, UInt64>) -> JSON {
            .object(
                JSON.Object(counts.indices.filter { counts[$0] > 0 }.map { (RegionIndex.names[$0], JSON(counts[$0])) }))
        }
        return [
            "messages": JSON(messages),
            "ringAccesses": JSON(ringAccesses),
            "reads": byRegion(reads),
            "writes": byRegion(writes),
            "ringReadsAndWrites": byRegion(ringReadsAndWrites),
            "latency": latency.json,
            "errors": JSON(errors),
            "interrupts": JSON(interrupts),
            "interruptsByKind": .object(
                JSON.Object(InterruptKind.allCases.map { ($0.name, JSON(interruptsByKind[Int($0.rawValue)])) })),
            "doorbells": JSON(doorbells),
            "messageDMABytes": JSON(messageDMABytesRead &+ messageDMABytesWritten),
            "messageDMABytesRead": JSON(messageDMABytesRead),
            "messageDMABytesWritten": JSON(messageDMABytesWritten),
            "sessions": JSON(sessions),
            "refusedClients": JSON(refusedClients),
            "deniedClients": JSON(deniedClients),
        ]
    }
}

extension LatencyHistogram {
    /// Buckets by their upper bound in nanoseconds.
    fileprivate var json: JSON {
        let counts = buckets.indices.map { bucket in
            (Self.upperBound(of: bucket).map { "\($0)" } ?? "more", JSON(buckets[bucket]))
        }
        return [
            "oneIn": JSON(Self.interval), "samples": JSON(samples), "nanoseconds": JSON(nanoseconds),
            "buckets": .object(JSON.Object(counts)),
        ]
    }
}
