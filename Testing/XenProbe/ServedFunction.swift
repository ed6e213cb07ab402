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
    private let work: Locked<Work?>
    private let workBell: EventFD
    private let workDone: EventFD

    /// What is done on the thread. It gets the function, and what it has kept from the time before.
    typealias Work = @Sendable (_ function: Function, _ kept: inout Any?) throws -> Void

    struct State: Sendable {
        var failure: String?
        /// Whether the domain was there when it ended.
        var hadDomain = true
        var accesses: UInt64 = 0
        var invalidations: UInt64 = 0
        var impossible: UInt64 = 0
    }

    /// - Parameters:
    ///   - options: of the device.
    ///   - address: of its slot.
    ///   - mapsBARs: whether the memory behind BARs is the domain's own.
    init(
        _ type: String, _ options: [String] = [], in domain: UInt16, at address: FunctionAddress = Slot.address,
        mapsBARs: Bool
    ) throws {
        let (state, begun, bell, ended) = (Locked(State()), try EventFD(), try EventFD(), try EventFD())
        (self.state, self.begun, self.bell, self.ended) = (state, begun, bell, ended)
        let (work, workBell, workDone) = (Locked<Work?>(nil), try EventFD(), try EventFD())
        (self.work, self.workBell, self.workDone) = (work, workBell, workDone)
        thread = try Thread(name: "device") {
            do {
                let slot = try OpenSlot(address, of: DomainAccess(domain))
                let host = Host(
                    loop: try EventLoop(), deviceMemory: mapsBARs ? slot.deviceMemory : DeviceMemory())
                host.report = { say("report: \($0)") }
                let function = try Function(DeviceCatalog.make(type, options: options, host: host), host: host)
                let server = try DomainServer(function, in: slot)
                let token = try host.loop.watch("stop", bell.descriptor, for: .readable) { [unowned server] _ in
                    bell.consume()
                    server.stop()
                }
                var kept: Any?
                let works = try host.loop.watch("work", workBell.descriptor, for: .readable) { [unowned function] _ in
                    workBell.consume()
                    do { try work.withLock { $0 }?(function, &kept) } catch {
                        state.withLock { $0.failure = "\(error)" }
                    }
                    workDone.signal()
                }
                begun.signal()
                try server.run()
                host.loop.unwatch(token)
                host.loop.unwatch(works)
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

    /// Has something done on its thread, and waits for that.
    func perform(_ work: @escaping Work) throws {
        self.work.withLock { $0 = work }
        workBell.signal()
        guard workDone.wait(within: .seconds(60)) != 0 else { throw Failed("The device's thread does nothing.") }
        if let failure = state.withLock({ $0.failure }) { throw Failed(failure) }
    }

    /// Has it end, and waits for that.
    func stop() throws -> State {
        bell.signal()
        return try awaitEnd()
    }

    /// Waits until it has ended.
    ///
    /// - Throws: ``Failed`` when it doesn't.
    func awaitEnd() throws -> State {
        guard ended.wait(within: .seconds(60)) != 0 else { throw Failed("The device's thread doesn't end.") }
        // For whoever waits once more.
        ended.signal()
        return state.withLock { $0 }
    }
}
