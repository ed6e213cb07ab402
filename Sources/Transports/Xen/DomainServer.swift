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
    private let placed: PlacedFunction
    private let server: RequestServer
    private let memory: ForeignMemory
    private var isStopped = false

    /// The commands of `ioctl(2)` that ``run()`` has a use for, on devices that are open by then.
    public static let commandsWhileServing = [
        cxen_command_map_frames, cxen_command_operate, cxen_command_notify,
    ].map { UInt32($0) }

    /// How many accesses were answered, each of a string of them counted.
    public private(set) var accesses: UInt64 = 0
    /// How often the guest has given memory back.
    public private(set) var invalidations: UInt64 = 0
    /// How often the domain has asked what nobody can do.
    public var impossibleRequests: UInt64 { server.impossibleRequests }

    public var function: Function { placed.function }

    /// Whether the domain is there.
    public private(set) var hasDomain = true

    /// Puts the function into a slot of the domain. From here on the domain's accesses to it wait for ``run()``.
    ///
    /// - Parameters:
    ///   - function: on a host whose guest memory is empty yet.
    ///   - number: the domain's. It is HVM or PVH.
    ///   - address: of a slot that is free.
    ///   - barMemory: what has made the memory of the function's host, if it has. It makes no more from here on.
    /// - Throws: ``XenError``
    public init(
        _ function: Function, domain number: UInt16, at address: FunctionAddress, barMemory: BARMemory? = nil
    ) throws(XenError) {
        barMemory?.seal()
        let domain = try Domain(number)
        server = try RequestServer(domain)
        memory = ForeignMemory(of: domain)
        placed = try PlacedFunction(function, at: address, of: server, memory: memory) {
            barMemory?.frames(behind: $0)
        }
        do throws(MapError) {
            try function.host.memory.map(
                address: 0, size: Self.addressSpace, access: [.read, .write], backing: .remote(memory))
        } catch {
            throw XenError("the guest's memory, since there is some already", error.errno)
        }
        try server.open()
        if let refusal = barMemory?.refusal {
            function.host.report("\(refusal) A BAR will be slow that needs them: raise the domain's maxmem.")
        }
    }

    /// In bytes: what x86 processors can address.
    private static let addressSpace: UInt64 = 1 << 52

    // MARK: Serving

    /// How often it is asked whether the domain is still there: nobody else tells.
    private static let timeBetweenLooks = Duration.seconds(1)

    /// Serves on the calling thread until ``stop()``, or until the domain has ended.
    ///
    /// - Throws: `Errno` when the system refuses to wait.
    public func run() throws(Errno) {
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
        while !isStopped && hasDomain { try loop.dispatch(within: nil) }
        // An ended domain's memory is freed when nobody has it mapped.
        if hasDomain { return }
        memory.drop()
        function.host.report("Domain \(server.domain.number) has ended.")
    }

    /// Makes ``run()`` return after the access in hand.
    public func stop() {
        isStopped = true
    }

    private func answer(_ request: Request) -> UInt64? {
        switch request {
        case .access(let access):
            accesses &+= UInt64(access.count)
            return placed.answer(access)
        case .invalidation:
            invalidations &+= 1
            memory.drop()
            return 0
        }
    }
}
