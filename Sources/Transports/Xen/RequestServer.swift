import CXen
import Linux
import PCI

/// A device model of a domain, as Xen knows it: which accesses are its, and the page in which virtual processors ask.
/// Xen's name for it is *ioreq server*. It is gone with this object, and so it is when the domain ends.
public final class RequestServer {
    /// What accesses of a guest's go to a server.
    public enum Claim: Hashable, Sendable {
        case ports(ClosedRange<UInt64>)
        case memory(ClosedRange<UInt64>)
        /// The configuration space of a function.
        case function(FunctionAddress)
    }

    /// How often something was asked that nobody can do, such as an access of three bytes. The answer is all ones.
    public private(set) var impossibleRequests: UInt64 = 0

    let domain: Domain
    private let number: UInt16
    private let channels: EventChannels
    /// This end of the channel of each virtual processor, by which it says that it asks, and is told that it is
    /// answered.
    private var ports: [UInt32] = []
    private let page: Mapping
    /// What each virtual processor asks.
    private let requests: UnsafeMutablePointer<cxen_request>
    private let processors: Int

    /// Makes a server that nobody asks yet. XEN_DMOP_create_ioreq_server
    ///
    /// It has no ring of buffered requests: for these Xen takes addresses of the first MiB alone, where no BAR is.
    public init(_ domain: Domain) throws(XenError) {
        processors = try domain.countProcessors()
        channels = try EventChannels(to: domain.number)
        let mapping = try Mapping(xen: domain.privcmd, pages: 1)
        guard processors <= mapping.size / MemoryLayout<cxen_request>.size else {
            throw XenError("a device model for \(processors) processors", .invalidArgument)
        }
        var number: UInt16 = 0
        try call("one more device model", cxen_create_server(domain.privcmd.raw, domain.number, &number))
        do throws(XenError) {
            try call(
                "the page of requests", cxen_map_server(domain.privcmd.raw, domain.number, number, 1, 1, mapping.base))
        } catch {
            _ = cxen_destroy_server(domain.privcmd.raw, domain.number, number)
            throw error
        }
        self.domain = domain
        self.number = number
        page = mapping
        // SAFETY: the page is mapped now, is aligned, and holds as many requests as there are processors.
        requests = mapping.base.assumingMemoryBound(to: cxen_request.self)
    }

    deinit {
        _ = cxen_destroy_server(domain.privcmd.raw, domain.number, number)
    }

    /// Whether Xen still has it: false when the domain has ended. XEN_DMOP_get_ioreq_server_info
    var exists: Bool { cxen_find_server(domain.privcmd.raw, domain.number, number) >= 0 }

    /// Has accesses sent to this server from now on. XEN_DMOP_map_io_range_to_ioreq_server
    ///
    /// - Throws: ``XenError`` with EEXIST when it claims some of them already, ENOSPC when it has 256 claims of the
    ///   kind.
    public func claim(_ claim: Claim) throws(XenError) {
        let (type, first, last) = claim.range
        try call("\(claim)", cxen_map_range(domain.privcmd.raw, domain.number, number, type, first, last))
    }

    /// Takes back what ``claim(_:)`` was told. XEN_DMOP_unmap_io_range_from_ioreq_server
    public func release(_ claim: Claim) throws(XenError) {
        let (type, first, last) = claim.range
        try call(
            "to give back \(claim)", cxen_unmap_range(domain.privcmd.raw, domain.number, number, type, first, last))
    }

    // MARK: Requests

    /// Begins to serve: the domain's accesses wait for ``answerRequests(_:)`` from now on.
    /// XEN_DMOP_set_ioreq_server_state
    public func open() throws(XenError) {
        try call(
            "to switch the device model on", cxen_enable_server(domain.privcmd.raw, domain.number, number, true))
        // Xen has told the other ends of the channels with that.
        for processor in 0..<processors { ports.append(try channels.bind(requests[processor].port)) }
    }

    /// Readable when a virtual processor has asked something.
    public var descriptor: Descriptor {
        _read { yield channels.descriptor }
    }

    /// Has everything answered that virtual processors ask now.
    ///
    /// - Parameter answer: gives what a read has found, and anything for what is no read; nil: the virtual processor goes
    ///   on waiting, and its request is asked again the next time.
    public func answerRequests(_ answer: (Request) -> UInt64?) {
        channels.takePending()
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
