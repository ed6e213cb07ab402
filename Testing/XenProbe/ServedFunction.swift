import Device
import DeviceCatalog
import Linux
import PCI
import Xen

/// A function of one of our devices in a domain's slot, served by a thread of its own. It ends with this object.
final class ServedFunction {
    private let thread: Thread
    private let state: Locked<State>
    private let begun: EventFD
    private let bell: EventFD
    private let ended: EventFD

    struct State: Sendable {
        var failure: String?
        /// Whether the domain was there when it ended.
        var hadDomain = true
        var accesses: UInt64 = 0
        var invalidations: UInt64 = 0
        var impossible: UInt64 = 0
    }

    /// - Parameter mapsBARs: whether the memory behind BARs is the domain's own.
    init(_ type: String, in domain: UInt16, mapsBARs: Bool) throws {
        let (state, begun, bell, ended) = (Locked(State()), try EventFD(), try EventFD(), try EventFD())
        (self.state, self.begun, self.bell, self.ended) = (state, begun, bell, ended)
        thread = try Thread(name: "device") {
            do {
                let barMemory = mapsBARs ? try BARMemory(of: domain) : nil
                let host = Host(loop: try EventLoop(), deviceMemory: barMemory?.deviceMemory ?? DeviceMemory())
                host.report = { say("report: \($0)") }
                let function = try Function(DeviceCatalog.make(type, options: [], host: host), host: host)
                let server = try DomainServer(
                    function, domain: domain, at: Slot.address, barMemory: barMemory)
                let token = try host.loop.watch("stop", bell.descriptor, for: .readable) { [unowned server] _ in
                    bell.consume()
                    server.stop()
                }
                begun.signal()
                try server.run()
                host.loop.unwatch(token)
                state.withLock {
                    $0.hadDomain = server.hasDomain
                    $0.accesses = server.accesses
                    $0.invalidations = server.invalidations
                    $0.impossible = server.impossibleRequests
                }
            } catch {
                state.withLock { $0.failure = "\(error)" }
                begun.signal()
            }
            ended.signal()
        }
        _ = begun.wait(within: nil)
        if let failure = state.withLock({ $0.failure }) { throw Failed(failure) }
    }

    /// Has it end, and waits for that.
    func stop() -> State {
        bell.signal()
        return awaitEnd()
    }

    /// Waits until it has ended.
    func awaitEnd() -> State {
        _ = ended.wait(within: .seconds(60))
        // For whoever waits once more.
        ended.signal()
        return state.withLock { $0 }
    }
}
