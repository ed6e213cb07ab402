#include "CKVM.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static int result_of(int result) { return result < 0 ? -errno : result; }

int ckvm_api_version(int kvm) { return result_of(ioctl(kvm, KVM_GET_API_VERSION, 0)); }
int ckvm_check_extension(int fd, long capability) { return result_of(ioctl(fd, KVM_CHECK_EXTENSION, capability)); }
int ckvm_create_vm(int kvm) { return result_of(ioctl(kvm, KVM_CREATE_VM, 0)); }
int ckvm_vcpu_mmap_size(int kvm) { return result_of(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)); }

int ckvm_create_irqchip(int vm) { return result_of(ioctl(vm, KVM_CREATE_IRQCHIP, 0)); }
int ckvm_set_tss_address(int vm, unsigned long address) { return result_of(ioctl(vm, KVM_SET_TSS_ADDR, address)); }
int ckvm_set_memory(int vm, const struct kvm_userspace_memory_region *region) {
    return result_of(ioctl(vm, KVM_SET_USER_MEMORY_REGION, region));
}
int ckvm_get_dirty_log(int vm, uint32_t slot, void *bitmap) {
    struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};
    return result_of(ioctl(vm, KVM_GET_DIRTY_LOG, &log));
}
int ckvm_set_routes(int vm, const struct kvm_irq_routing_entry *entries, size_t count) {
    struct kvm_irq_routing *routing = calloc(1, sizeof *routing + count * sizeof *entries);
    if (!routing) return -ENOMEM;
    routing->nr = (uint32_t)count;
    memcpy(routing->entries, entries, count * sizeof *entries);
    int result = result_of(ioctl(vm, KVM_SET_GSI_ROUTING, routing));
    free(routing);
    return result;
}
int ckvm_irqfd(int vm, const struct kvm_irqfd *irqfd) { return result_of(ioctl(vm, KVM_IRQFD, irqfd)); }
int ckvm_set_pin(int vm, uint32_t gsi, int level) {
    struct kvm_irq_level line = {.irq = gsi, .level = (uint32_t)level};
    return result_of(ioctl(vm, KVM_IRQ_LINE, &line));
}
int ckvm_signal_message(int vm, uint64_t address, uint32_t data) {
    struct kvm_msi message = {.address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data};
    return result_of(ioctl(vm, KVM_SIGNAL_MSI, &message));
}
int ckvm_ioeventfd(int vm, const struct kvm_ioeventfd *ioeventfd) {
    return result_of(ioctl(vm, KVM_IOEVENTFD, ioeventfd));
}

int ckvm_create_vcpu(int vm, unsigned long number) { return result_of(ioctl(vm, KVM_CREATE_VCPU, number)); }
int ckvm_get_registers(int vcpu, struct kvm_regs *registers) { return result_of(ioctl(vcpu, KVM_GET_REGS, registers)); }
int ckvm_set_registers(int vcpu, const struct kvm_regs *registers) {
    return result_of(ioctl(vcpu, KVM_SET_REGS, registers));
}
int ckvm_get_special_registers(int vcpu, struct kvm_sregs *registers) {
    return result_of(ioctl(vcpu, KVM_GET_SREGS, registers));
}
int ckvm_set_special_registers(int vcpu, const struct kvm_sregs *registers) {
    return result_of(ioctl(vcpu, KVM_SET_SREGS, registers));
}
int ckvm_run(int vcpu) { return result_of(ioctl(vcpu, KVM_RUN, 0)); }

struct ckvm_exit ckvm_exit_of(const struct kvm_run *run) {
    struct ckvm_exit exit = {.reason = run->exit_reason, .count = 1};
    if (run->exit_reason == KVM_EXIT_MMIO) {
        exit.address = run->mmio.phys_addr;
        exit.size = run->mmio.len;
        exit.is_write = run->mmio.is_write;
        exit.data_offset = offsetof(struct kvm_run, mmio.data);
    } else if (run->exit_reason == KVM_EXIT_IO) {
        exit.address = run->io.port;
        exit.size = run->io.size;
        exit.count = run->io.count;
        exit.is_write = run->io.direction == KVM_EXIT_IO_OUT;
        exit.data_offset = run->io.data_offset;
    }
    return exit;
}

void ckvm_exit_immediately(struct kvm_run *run, int yes) {
    __atomic_store_n(&run->immediate_exit, (uint8_t)yes, __ATOMIC_SEQ_CST);
}
