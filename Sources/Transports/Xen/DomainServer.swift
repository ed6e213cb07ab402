import CXen
import Device
import GuestMemory
import Linux
import PCI

/// Serves a function to a domain, as one of its device models.
///
/// All of the function is answered here, configuration space included: Xen sends each access to it as a request, and
/// holds the virtual processor until it is answered. The guest's memory is all that it has, by its own physical
/// addresses.
public final class DomainServer {
    /// What happens to the domain, which is the function's one client.
    public enum Event: Equatable, Sendable {
        /// Its accesses are answered from now on.
        case connected(domain: UInt16)
        case ended(domain: UInt16)
    }

    private let placed: PlacedFunction
    private let server: RequestServer
    private let memory: ForeignMemory
    private let barMemory: BARMemory
    private let number: UInt16
    // One thread, and no access to any of these lasts longer than a statement: checks at run time would find nothing.
    @exclusivity(unchecked) private var isStopped = false

    /// The commands of `ioctl(2)` that ``run()`` has a use for, on devices that are open by then.
    public static let commandsWhileServing = [
        cxen_command_map_frames, cxen_command_operate, cxen_command_notify,
    ].map { UInt32($0) }

    /// How many accesses were answered, each of a string of them counted.
    @exclusivity(unchecked) public private(set) var accesses: UInt64 = 0
    /// How often the guest has given memory back.
    public private(set) var invalidations: UInt64 = 0
    /// How often the domain has asked what nobody can do.
    public var impossibleRequests: UInt64 { server.impossibleRequests }

    public var function: Function { placed.function }

    /// Whether the domain is there.
    @exclusivity(unchecked) public private(set) var hasDomain = true
    /// Whether ``run()`` goes on when the domain has ended, until ``stop()``: the function can be looked at and saved.
    public var stays = false
    public var onEvent: (Event) -> Void = { _ in }

    /// Puts the function into a slot of a domain. From here on the domain's accesses to it wait for ``run()``.
    ///
    /// - Parameters:
    ///   - function: on a host whose guest memory is empty yet.
    ///   - slot: it may have made memory for the function's host, and makes no more from here on.
    /// - Throws: ``XenError``
    public init(_ function: Function, in slot: OpenSlot) throws(XenError) {
        slot.access.seal()
        let domain = slot.access.domain
        number = domain.number
        barMemory = slot.barMemory
        memory = ForeignMemory(of: domain)
        do throws(MapError) {
            try function.host.memory.map(
                address: 0, size: SlotRecord.addressSpace, access: [.read, .write], backing: .remote(memory))
        } catch {
            throw XenError("the guest's memory, since there is some already", error.errno)
        }
        server = slot.server
        var record = slot.record
        record?.parts = barMemory.found
        placed = try PlacedFunction(
            function, at: slot.address, router: server, guest: domain, memory: memory, frames: barMemory,
            goingOnFrom: record)
        if slot.isAmongOurs {
            placed.addressPort = AddressPort()
            do throws(XenError) { try server.claim(.ports(AddressPort.ports)) } catch {
                guard record != nil, error.errno == .fileExists else { throw error }
            }
        }
        if let refusal = barMemory.refusal {
            function.host.report("\(refusal) A BAR will be slow that needs them: raise it by 'xl mem-max'.")
        }
    }

    // MARK: Serving

    /// How often it is asked whether the domain is still there: nobody else tells.
    private static let timeBetweenLooks = Duration.seconds(1)

    /// Serves on the calling thread until ``stop()``, or until the domain has ended and this doesn't stay.
    ///
    /// - Throws: `Errno` when the system refuses to wait.
    public func run() throws(Errno) {
        // Until now a killed process's server was there for another one, should this not come to serve.
        server.isLeftBehind = false
        // A virtual processor that was answered but not told goes on.
        server.notifyAll()
        try serve()
        if hasDomain { return leave() }
        // An ended domain's memory is freed when nobody has it mapped.
        memory.drop()
        function.transport = nil
        if stays {
            server.releasePages()
            do throws(Errno) { try barMemory.becomeCopies() } catch {
                function.host.report("What is left of domain \(number) is kept until this process ends: \(error).")
            }
        }
        onEvent(.ended(domain: number))
        while stays && !isStopped { try function.host.loop.dispatch(within: nil) }
    }

    private func serve() throws(Errno) {
        let loop = function.host.loop
        let requests = try loop.watch("requests", server.descriptor, for: .readable) { [unowned self] _ in
            server.answerRequests(answer)
        }
        let timer = try TimerFD()
        let look = try loop.watch("domain", timer.descriptor, for: .readable) { [unowned self] _ in
            timer.consume()
            timer.set(Self.timeBetweenLooks)
            hasDomain = server.exists
        }
        timer.set(Self.timeBetweenLooks)
        defer {
            loop.unwatch(requests)
            loop.unwatch(look)
        }
        onEvent(.connected(domain: number))
        while !isStopped && hasDomain {
            try loop.dispatch(within: nil)
            // What timers and the like have written.
            memory.tellWritten()
        }
    }

    /// Makes ``run()`` return after the access in hand.
    public func stop() {
        isStopped = true
    }

    /// What was asked is answered, and what the function had in the domain is where the next one finds it.
    private func leave() {
        server.close(answer)
        placed.leave()
    }

    private func answer(_ request: Request) -> UInt64? {
        switch request {
        case .access(let access):
            accesses &+= UInt64(access.count)
            defer { memory.tellWritten() }
            return placed.answer(access)
        case .invalidation:
            invalidations &+= 1
            memory.drop()
            return 0
        }
    }
}

extension DomainServer.Event: CustomStringConvertible {
    public var description: String {
        switch self {
        case .connected(let domain): "Domain \(domain) is served."
        case .ended(let domain): "Domain \(domain) has ended."
        }
    }
}
