import CKVM
import Glibc
import Linux

/// A KVM virtual machine without processors: its memory, its interrupts, and the eventfds that spare it exits.
///
/// Callable from any thread. Documentation/virt/kvm/api.rst of the Linux kernel has the ioctls named here.
public final class VirtualMachine: Sendable {
    /// The kernel's interface, if this process may use it.
    public static var isAvailable: Bool {
        let raw = open("/dev/kvm", O_RDWR | O_CLOEXEC)
        guard raw >= 0 else { return false }
        let kvm = Descriptor(owning: raw)
        return ckvm_api_version(kvm.raw) == KVM_API_VERSION
    }

    let descriptor: Descriptor
    /// The size of a vCPU's shared page, in bytes.
    let sharedSize: Int
    let slots: Locked<Slots>
    let routes = Locked(Routes())
    /// How many assert each pin now.
    let asserted = Locked<[UInt32: Int]>([:])

    /// A machine with KVM's own interrupt controllers: two PICs, an IOAPIC, local APICs.
    public init() throws(KVMError) {
        let raw = open("/dev/kvm", O_RDWR | O_CLOEXEC)
        guard raw >= 0 else { throw KVMError("opening /dev/kvm", Errno(rawValue: errno)) }
        let kvm = Descriptor(owning: raw)
        guard ckvm_api_version(kvm.raw) == KVM_API_VERSION else { throw KVMError("its API version", .notSupported) }
        descriptor = Descriptor(owning: try call("KVM_CREATE_VM", ckvm_create_vm(kvm.raw)))
        sharedSize = Int(try call("KVM_GET_VCPU_MMAP_SIZE", ckvm_vcpu_mmap_size(kvm.raw)))
        let limit = ckvm_check_extension(descriptor.raw, Int(KVM_CAP_NR_MEMSLOTS))
        slots = Locked(Slots(limit: limit > 0 ? Int(limit) : 32))
        // Below the firmware's 64 KiB at 4 GiB, where nothing else is.
        try call("KVM_SET_TSS_ADDR", ckvm_set_tss_address(descriptor.raw, 0xfffb_d000))
        try call("KVM_CREATE_IRQCHIP", ckvm_create_irqchip(descriptor.raw))
        try setRoutes(Routes().all)
    }
}
