/// <linux/kvm.h> for Swift, which sees neither its _IO macros nor its flexible arrays. Each function is one ioctl(2) of
/// Documentation/virt/kvm/api.rst, and returns its result or -errno.
#ifndef CKVM_H
#define CKVM_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/// KVM_GET_API_VERSION on /dev/kvm; the stable API is 12.
int ckvm_api_version(int kvm);
/// KVM_CHECK_EXTENSION
int ckvm_check_extension(int fd, long capability);
/// KVM_CREATE_VM. Returns the VM's descriptor, close-on-exec.
int ckvm_create_vm(int kvm);
/// KVM_GET_VCPU_MMAP_SIZE
int ckvm_vcpu_mmap_size(int kvm);

/// KVM_CREATE_IRQCHIP: two PICs, an IOAPIC, and a local APIC for each vCPU to come.
int ckvm_create_irqchip(int vm);
/// KVM_SET_TSS_ADDR: three pages that Intel processors need.
int ckvm_set_tss_address(int vm, unsigned long address);
/// KVM_SET_USER_MEMORY_REGION
int ckvm_set_memory(int vm, const struct kvm_userspace_memory_region *region);
/// KVM_GET_DIRTY_LOG: one bit a page, and starts anew.
int ckvm_get_dirty_log(int vm, uint32_t slot, void *bitmap);
/// KVM_SET_GSI_ROUTING: replaces all routes.
int ckvm_set_routes(int vm, const struct kvm_irq_routing_entry *entries, size_t count);
/// KVM_IRQFD
int ckvm_irqfd(int vm, const struct kvm_irqfd *irqfd);
/// KVM_IRQ_LINE: the level of a pin of the interrupt controllers.
int ckvm_set_pin(int vm, uint32_t gsi, int level);
/// KVM_SIGNAL_MSI: 0 when the guest has blocked it, more when it was delivered.
int ckvm_signal_message(int vm, uint64_t address, uint32_t data);
/// KVM_IOEVENTFD
int ckvm_ioeventfd(int vm, const struct kvm_ioeventfd *ioeventfd);

/// KVM_CREATE_VCPU. Returns the vCPU's descriptor, close-on-exec.
int ckvm_create_vcpu(int vm, unsigned long number);
int ckvm_get_registers(int vcpu, struct kvm_regs *registers);
int ckvm_set_registers(int vcpu, const struct kvm_regs *registers);
int ckvm_get_special_registers(int vcpu, struct kvm_sregs *registers);
int ckvm_set_special_registers(int vcpu, const struct kvm_sregs *registers);
/// KVM_RUN. Returns 0 after an exit, -EINTR after a signal.
int ckvm_run(int vcpu);

/// Why KVM_RUN returned, copied from the shared page.
struct ckvm_exit {
    uint32_t reason; ///< KVM_EXIT_…
    uint64_t address; ///< MMIO: the guest's physical address. I/O: the port.
    uint32_t size; ///< In bytes: 1, 2, 4 or 8.
    uint32_t count; ///< I/O: how many values of `size` bytes, for string instructions. MMIO: 1.
    uint32_t is_write;
    uint64_t data_offset; ///< Where the values are in the shared page.
};

/// Takes the exit's facts out of a vCPU's shared page.
struct ckvm_exit ckvm_exit_of(const struct kvm_run *run);
/// Makes the next KVM_RUN return at once; safe in a signal handler and from other threads.
void ckvm_exit_immediately(struct kvm_run *run, int yes);

#endif
