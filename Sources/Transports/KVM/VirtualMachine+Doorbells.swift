import CKVM
import Linux
import PCI

extension VirtualMachine {
    /// An eventfd that a guest's write signals, with no exit. KVM_IOEVENTFD. It ends when this object goes.
    public final class WriteEvent: Sendable {
        private let machine: VirtualMachine
        private let setting: kvm_ioeventfd
        private let eventFD: EventFD

        fileprivate init(_ machine: VirtualMachine, _ setting: kvm_ioeventfd, _ eventFD: EventFD) throws(KVMError) {
            self.machine = machine
            self.setting = setting
            self.eventFD = eventFD
            var setting = setting
            try call("KVM_IOEVENTFD", ckvm_ioeventfd(machine.descriptor.raw, &setting))
        }

        deinit {
            var setting = setting
            setting.flags |= 1 << UInt32(kvm_ioeventfd_flag_nr_deassign)
            _ = ckvm_ioeventfd(machine.descriptor.raw, &setting)
        }
    }

    /// Has writes of `width` bytes to an address signal an eventfd.
    ///
    /// - Parameters:
    ///   - width: 1, 2, 4 or 8 bytes; 0 for writes of any width in memory, without a match.
    ///   - match: only this value counts, if given.
    public func event(
        onWriteAt address: UInt64, width: UInt32, match: UInt64? = nil, in space: BARPlacement.Space = .memory,
        _ eventFD: EventFD
    ) throws(KVMError) -> WriteEvent {
        var setting = kvm_ioeventfd()
        setting.addr = address
        setting.len = width
        setting.fd = eventFD.descriptor.raw
        if let match {
            setting.datamatch = match
            setting.flags |= 1 << UInt32(kvm_ioeventfd_flag_nr_datamatch)
        }
        if space == .io { setting.flags |= 1 << UInt32(kvm_ioeventfd_flag_nr_pio) }
        return try WriteEvent(self, setting, eventFD)
    }
}
