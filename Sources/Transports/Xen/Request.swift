import CXen

/// What a virtual processor asks of a device model. `struct ioreq`
public enum Request: Equatable, Sendable {
    case access(Access)
    /// The guest has given memory back: maps of it are to go. IOREQ_TYPE_INVALIDATE
    case invalidation

    /// An access to an address, or a string of them: `rep movs`, `rep ins`, `rep outs`.
    public struct Access: Equatable, Sendable {
        public enum Space: Equatable, Sendable {
            case ports, memory
            /// The address is a register of a function's configuration space, whose segment, bus, device and number in
            /// it this has.
            case configuration(function: UInt32)
        }

        /// Where the values come from, or go to.
        public enum Data: Equatable, Sendable {
            /// The processor has it in a register. 0 for a read.
            case value(UInt64)
            /// In the guest's memory: the address of the first one.
            case memory(UInt64)
        }

        public let space: Space
        /// Of the first access.
        public let address: UInt64
        /// In bytes: 1, 2, 4 or 8.
        public let width: Int
        /// How many accesses; at least 1.
        public let count: Int
        public let isRead: Bool
        /// Each access is below the one before it: the direction flag of the processor is set.
        public let isDownwards: Bool
        public let data: Data

        /// Where an access of the string leads. All go to the same port, but each to its own memory.
        public func address(of index: Int) -> UInt64 {
            space == .memory ? moved(address, by: index) : address
        }

        /// Where in the guest's memory the value of an access of the string is.
        ///
        /// - Parameter start: that of the first.
        public func place(of index: Int, from start: UInt64) -> UInt64 { moved(start, by: index) }

        private func moved(_ start: UInt64, by index: Int) -> UInt64 {
            let distance = UInt64(index) * UInt64(width)
            return isDownwards ? start - distance : start + distance
        }
    }

    /// Why nobody can do what is asked.
    public enum Problem: Error, Equatable, Sendable {
        case unknownType(UInt8)
        case width(UInt32)
        case count(UInt32)
        /// The addresses of a string of accesses run past an end of the address space.
        case range(start: UInt64, width: Int, count: Int, isDownwards: Bool)
    }

    /// The most accesses that Xen makes one request of.
    static let maximumCount: UInt32 = 4096

    /// - Throws: ``Problem``
    public init(_ raw: cxen_request) throws(Problem) {
        let space: Access.Space
        var address = raw.address
        switch Int(raw.type) {
        case cxen_type_invalidate:
            self = .invalidation
            return
        case cxen_type_port: space = .ports
        case cxen_type_memory: space = .memory
        case cxen_type_configuration:
            space = .configuration(function: UInt32(address >> 32))
            address &= 0xffff_ffff
        default: throw .unknownType(raw.type)
        }
        guard [1, 2, 4, 8].contains(raw.size) else { throw .width(raw.size) }
        guard (1...Self.maximumCount).contains(raw.count) else { throw .count(raw.count) }
        func has(_ flag: Int) -> Bool { Int(raw.flags) & flag != 0 }
        let isIndirect = has(cxen_flag_indirect)
        let access = Access(
            space: space, address: address, width: Int(raw.size), count: Int(raw.count), isRead: has(cxen_flag_read),
            isDownwards: has(cxen_flag_downwards),
            data: isIndirect ? .memory(raw.data) : .value(has(cxen_flag_read) ? 0 : raw.data))
        if space == .memory { try access.check(address) }
        if isIndirect { try access.check(raw.data) }
        self = .access(access)
    }
}

extension Request.Access {
    /// - Parameter start: where the first access is.
    fileprivate func check(_ start: UInt64) throws(Request.Problem) {
        let below = isDownwards ? UInt64((count - 1) * width) : 0
        let above = isDownwards ? UInt64(width - 1) : UInt64(count * width - 1)
        guard below <= start, above <= UInt64.max - start else {
            throw .range(start: start, width: width, count: count, isDownwards: isDownwards)
        }
    }
}
