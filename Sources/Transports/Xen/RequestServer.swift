import CXen
import Linux
import PCI

/// A device model of a domain, as Xen knows it: which accesses are its, and the page in which virtual processors ask.
/// Xen's name for it is *ioreq server*. It is gone with this object, and so it is when the domain ends; but not when
/// the process is killed.
public final class RequestServer: AccessRouter {
    /// What accesses of a guest's go to a server.
    public enum Claim: Hashable, Sendable {
        case ports(ClosedRange<UInt64>)
        case memory(ClosedRange<UInt64>)
        /// The configuration space of a function.
        case function(FunctionAddress)
    }

    // One thread, and no access to either lasts longer than a statement: checks at run time would find nothing.
    /// How often something was asked that nobody can do, such as an access of three bytes. The answer is all ones.
    @exclusivity(unchecked) public private(set) var impossibleRequests: UInt64 = 0

    /// Whether Xen keeps it when this object goes: for whoever goes on with it.
    var isLeftBehind: Bool
    let domain: Domain
    let number: UInt16
    private let channels: EventChannels
    /// This end of the channel of each virtual processor, by which it says that it asks, and is told that it is
    /// answered. The ring's has none: nobody waits.
    @exclusivity(unchecked) private var ports: [UInt32] = []
    private let pages: Mapping
    private let ring: UnsafeMutablePointer<cxen_ring>
    /// What each virtual processor asks.
    let requests: UnsafeMutablePointer<cxen_request>
    let processors: Int

    /// Makes a server that has no claims yet. From its first one on the domain's accesses wait for
    /// ``answerRequests(_:)``. XEN_DMOP_create_ioreq_server
    public convenience init(_ domain: Domain) throws(XenError) {
        try self.init(domain, EventChannels(to: domain.number))
    }

    convenience init(_ domain: Domain, _ channels: EventChannels) throws(XenError) {
        var number: UInt16 = 0
        try call("one more device model", cxen_create_server(domain.privcmd.raw, domain.number, &number))
        try self.init(number, of: domain, channels, isLeftBehind: false)
    }

    /// Takes a server that Xen has: maps its pages, switches it on, and binds the channels.
    ///
    /// - Throws: ``XenError`` with EINVAL, among others, when another process has the channels.
    init(_ number: UInt16, of domain: Domain, _ channels: EventChannels, isLeftBehind: Bool) throws(XenError) {
        self.domain = domain
        self.number = number
        self.channels = channels
        self.isLeftBehind = isLeftBehind
        let made: (pages: Mapping, processors: Int)
        do throws(XenError) {
            made = (try Mapping(xen: domain.privcmd, pages: 2), try domain.countProcessors())
            guard made.processors <= Domain.frameSize / MemoryLayout<cxen_request>.size else {
                throw XenError("a device model for \(made.processors) processors", .invalidArgument)
            }
            try call(
                "the pages of requests",
                cxen_map_server(domain.privcmd.raw, domain.number, number, 0, 2, made.pages.base))
        } catch {
            if !isLeftBehind { _ = cxen_destroy_server(domain.privcmd.raw, domain.number, number) }
            throw error
        }
        (pages, processors) = made
        // SAFETY: both pages are mapped now, are aligned, and the second holds as many requests as there are
        // processors.
        ring = pages.base.assumingMemoryBound(to: cxen_ring.self)
        requests = (pages.base + Domain.frameSize).assumingMemoryBound(to: cxen_request.self)
        try open()
    }

    /// XEN_DMOP_set_ioreq_server_state
    private func open() throws(XenError) {
        try call(
            "to switch the device model on", cxen_enable_server(domain.privcmd.raw, domain.number, number, true))
        // Xen has told the other ends of the channels with that.
        for processor in 0..<processors { ports.append(try channels.bind(requests[processor].port)) }
        var ringPort: UInt32 = 0
        try call("its channels", cxen_find_server(domain.privcmd.raw, domain.number, number, &ringPort))
        _ = try channels.bind(ringPort)
    }

    deinit {
        guard !isLeftBehind else { return }
        close { _ in .max }
        _ = cxen_destroy_server(domain.privcmd.raw, domain.number, number)
    }

    /// Whether Xen still has it: false when the domain has ended. XEN_DMOP_get_ioreq_server_info
    var exists: Bool { Self.exists(number, in: domain) }

    static func exists(_ number: UInt16, in domain: Domain) -> Bool {
        cxen_find_server(domain.privcmd.raw, domain.number, number, nil) >= 0
    }

    /// Has accesses sent to this server from now on. XEN_DMOP_map_io_range_to_ioreq_server
    ///
    /// - Throws: ``XenError`` with EEXIST when it claims some of them already, ENOSPC when it has 256 claims of the
    ///   kind.
    public func claim(_ claim: Claim) throws(XenError) {
        try Self.claim(claim, for: number, of: domain)
    }

    static func claim(_ claim: Claim, for number: UInt16, of domain: Domain) throws(XenError) {
        let (type, first, last) = claim.range
        try call("\(claim)", cxen_map_range(domain.privcmd.raw, domain.number, number, type, first, last))
    }

    /// Takes back what ``claim(_:)`` was told. XEN_DMOP_unmap_io_range_from_ioreq_server
    public func release(_ claim: Claim) throws(XenError) {
        try Self.release(claim, of: number, of: domain)
    }

    static func release(_ claim: Claim, of number: UInt16, of domain: Domain) throws(XenError) {
        let (type, first, last) = claim.range
        try call(
            "to give back \(claim)", cxen_unmap_range(domain.privcmd.raw, domain.number, number, type, first, last))
    }

    // MARK: Requests

    /// Readable when a virtual processor has asked something.
    public var descriptor: Descriptor {
        _read { yield channels.descriptor }
    }

    /// Has everything answered that virtual processors ask now.
    ///
    /// - Parameter answer: gives what a read has found, and anything for what is no read; nil: the virtual processor
    ///   goes on waiting, and its request is asked again the next time.
    public func answerRequests(_ answer: (Request) -> UInt64?) {
        channels.takePending()
        takeBuffered(answer)
        for processor in ports.indices {
            var raw = cxen_request()
            guard cxen_take_request(requests + processor, &raw) else { continue }
            let value: UInt64
            do throws(Request.Problem) {
                guard let answer = answer(try Request(raw)) else { continue }
                value = answer
            } catch {
                impossibleRequests &+= 1
                value = .max
            }
            cxen_answer_request(requests + processor, value)
            // It fails for nobody but a domain that has ended.
            try? channels.notify(ports[processor])
        }
    }

    /// Writes below 1 MiB for which no virtual processor waits. No more of them than the ring holds: the guest may go
    /// on writing meanwhile.
    private func takeBuffered(_ answer: (Request) -> UInt64?) {
        var raw = cxen_request()
        for _ in 0..<511 {
            guard cxen_take_buffered(ring, &raw) else { return }
            // The guest's clock is no business of a device's.
            if Int(raw.type) == cxen_type_time_offset { continue }
            do throws(Request.Problem) { _ = answer(try Request(raw)) } catch { impossibleRequests &+= 1 }
        }
    }

    /// Tells every virtual processor that it may go on: one whose answer was there, but not told, does.
    func notifyAll() {
        for port in ports { try? channels.notify(port) }
    }

    /// No accesses are sent here from now on, and those that were are answered.
    func close(_ answer: (Request) -> UInt64?) {
        _ = cxen_enable_server(domain.privcmd.raw, domain.number, number, false)
        answerRequests(answer)
    }

    /// Lets go of what is mapped of an ended domain's, which Xen keeps as long as somebody has it.
    public func releasePages() {
        // For want of memory it stays until this object goes.
        try? pages.becomeCopy()
    }
}

extension RequestServer.Claim {
    fileprivate var range: (type: UInt32, first: UInt64, last: UInt64) {
        switch self {
        case .ports(let range): (UInt32(cxen_range_ports), range.lowerBound, range.upperBound)
        case .memory(let range): (UInt32(cxen_range_memory), range.lowerBound, range.upperBound)
        case .function(let address):
            (UInt32(cxen_range_function), UInt64(address.routingID), UInt64(address.routingID))
        }
    }
}

extension RequestServer.Claim: CustomStringConvertible {
    public var description: String {
        func text(_ range: ClosedRange<UInt64>) -> String {
            "0x\(String(range.lowerBound, radix: 16)) to 0x\(String(range.upperBound, radix: 16))"
        }
        return switch self {
        case .ports(let range): "ports \(text(range))"
        case .memory(let range): "addresses \(text(range))"
        case .function(let address): "slot \(address)"
        }
    }
}
