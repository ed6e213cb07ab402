import CKVM
import Linux

extension VirtualMachine {
    /// Which numbers of memory slots are taken.
    struct Slots {
        let limit: Int
        var used: Set<UInt32> = []
    }

    /// Memory that a guest sees with no exit. It goes when this object goes.
    public final class MemorySlot: Sendable {
        private let machine: VirtualMachine
        private let number: UInt32
        private let mapping: Mapping
        private let address: UInt64
        private let size: UInt64
        private let flags: UInt32

        fileprivate init(
            _ machine: VirtualMachine, _ number: UInt32, at address: UInt64, _ mapping: Mapping, offset: Int,
            size: UInt64,
            flags: UInt32
        ) throws(KVMError) {
            self.machine = machine
            self.number = number
            self.mapping = mapping
            self.address = address
            self.size = size
            self.flags = flags
            var region = kvm_userspace_memory_region(
                slot: number, flags: flags, guest_phys_addr: address, memory_size: size,
                userspace_addr: UInt64(UInt(bitPattern: mapping.base + offset)))
            try call("KVM_SET_USER_MEMORY_REGION", ckvm_set_memory(machine.descriptor.raw, &region))
        }

        /// Which pages the guest has written since last asked: one bit each, the first page lowest. KVM_GET_DIRTY_LOG
        ///
        /// - Throws: ``KVMError`` with ENOENT when the slot was made without a log.
        public func takeDirtyPages() throws(KVMError) -> [UInt64] {
            var bitmap = [UInt64](repeating: 0, count: Int((size / 4096 + 63) / 64))
            try call("KVM_GET_DIRTY_LOG", ckvm_get_dirty_log(machine.descriptor.raw, number, &bitmap))
            return bitmap
        }

        deinit {
            var gone = kvm_userspace_memory_region(
                slot: number, flags: 0, guest_phys_addr: address, memory_size: 0, userspace_addr: 0)
            _ = ckvm_set_memory(machine.descriptor.raw, &gone)
            _ = machine.slots.withLock { $0.used.remove(number) }
        }
    }

    /// Puts memory into the guest's address space. KVM_SET_USER_MEMORY_REGION
    ///
    /// - Parameters:
    ///   - address: of the first byte, in the guest's physical address space; a multiple of the page size.
    ///   - mapping: stays as long as the slot.
    ///   - range: the part of the mapping, in bytes; whole pages.
    ///   - isReadOnly: writes exit then.
    ///   - isLogged: keep a log for ``MemorySlot/takeDirtyPages()``.
    /// - Throws: ``KVMError``: EINVAL for no whole pages, EEXIST where memory is already, ENOSPC for too many slots.
    public func map(
        _ mapping: Mapping, _ range: Range<Int>, at address: UInt64, isReadOnly: Bool = false, isLogged: Bool = false
    ) throws(KVMError) -> MemorySlot {
        guard range.lowerBound >= 0, range.upperBound <= mapping.size, !range.isEmpty else {
            throw KVMError(
                "\(range.count) bytes at \(range.lowerBound) of a mapping of \(mapping.size)", .invalidArgument)
        }
        let free = slots.withLock { slots -> UInt32? in
            let number = (0..<UInt32(slots.limit)).first { !slots.used.contains($0) }
            if let number { slots.used.insert(number) }
            return number
        }
        guard let free else { throw KVMError("one more memory slot", .noSpace) }
        do throws(KVMError) {
            return try MemorySlot(
                self, free, at: address, mapping, offset: range.lowerBound, size: UInt64(range.count),
                flags: (isReadOnly ? UInt32(KVM_MEM_READONLY) : 0)
                    | (isLogged ? UInt32(KVM_MEM_LOG_DIRTY_PAGES) : 0))
        } catch {
            _ = slots.withLock { $0.used.remove(free) }
            throw error
        }
    }
}
