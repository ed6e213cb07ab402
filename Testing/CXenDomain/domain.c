#include "CXenDomain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#if defined(__x86_64__)

extern const uint8_t cxd_guest_begin[], cxd_guest_end[], cxd_guest_handlers[], cxd_guest_causes_word[];
const void *cxd_guest_bytes(void) { return cxd_guest_begin; }
size_t cxd_guest_size(void) { return (size_t)(cxd_guest_end - cxd_guest_begin); }
size_t cxd_guest_handler(unsigned index) { return (size_t)(cxd_guest_handlers - cxd_guest_begin) + 16 * index; }

size_t cxd_guest_causes(void) { return (size_t)(cxd_guest_causes_word - cxd_guest_begin); }

int cxd_open(void) {
    int privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    return privcmd < 0 ? -errno : privcmd;
}

// MARK: Versions

/// How one version of Xen wants to be talked to by a toolstack.
struct dialect {
    int version;        // major << 16 | minor, as Xen tells it
    uint32_t interface; // XEN_DOMCTL_INTERFACE_VERSION
    unsigned emulation; // which of a new domain's other words has xen_arch_domainconfig.emulation_flags
};

static const struct dialect dialects[] = {
    {4 << 16 | 17, 0x15, 2},
    {4 << 16 | 20, 0x17, 3}, // altp2m_opts stands before it
};

static int hypercall(int privcmd, uint64_t number, uint64_t first, uint64_t second) {
    struct { // privcmd_hypercall
        uint64_t number, arguments[5];
    } call = {number, {first, second}};
    int result = ioctl(privcmd, _IOC(_IOC_NONE, 'P', 0, sizeof call), &call);
    return result < 0 ? -errno : result;
}

int cxd_version(int privcmd) {
    enum { xen_version = 17, version = 0 };
    return hypercall(privcmd, xen_version, version, 0);
}

static const struct dialect *dialect_of(int privcmd) {
    int version = cxd_version(privcmd);
    for (size_t index = 0; index < sizeof dialects / sizeof dialects[0]; index++)
        if (dialects[index].version == version) return &dialects[index];
    return NULL;
}

// MARK: Control of domains

/// struct xen_domctl, as far as it is used.
struct control {
    uint32_t operation, version;
    uint16_t domain, unused[3];
    union {
        struct { // xen_domctl_createdomain
            uint32_t ssidref;
            uint8_t handle[16];
            uint32_t flags, iommu_options, processors, event_channels;
            int32_t grant_frames, maptrack_frames;
            uint32_t grant_options, others[5];
        } create;
        struct { // xen_domctl_hvmcontext
            uint32_t size;
            uint8_t *bytes __attribute__((aligned(8)));
        } context;
        uint64_t size;
        uint32_t count;
        uint8_t all[128];
    };
};

enum { // XEN_DOMCTL_…
    createdomain = 1,
    destroydomain = 2,
    unpausedomain = 4,
    max_mem = 11,
    max_vcpus = 15,
    gethvmcontext = 33,
    sethvmcontext = 34,
    set_paging_mempool_size = 86,
};

static int control(int privcmd, uint16_t domain, uint32_t operation, struct control *control) {
    const struct dialect *dialect = dialect_of(privcmd);
    if (!dialect) return -ENOTSUP;
    control->operation = operation;
    control->version = dialect->interface;
    control->domain = domain;
    enum { domctl = 36 };
    return hypercall(privcmd, domctl, (uint64_t)control, 0);
}

int cxd_create(int privcmd, bool has_legacy, uint64_t memory_limit) {
    enum { hvm = 1, hap = 2 };               // XEN_DOMCTL_CDF_…
    enum { lapic = 1, all_but_pci = 0x3ff }; // XEN_X86_EMU_…
    struct control create = {.create = {
                                 .flags = hvm | hap,
                                 .processors = 1,
                                 .event_channels = 1023,
                                 .grant_frames = -1,
                                 .maptrack_frames = -1,
                                 .grant_options = 1,
                             }};
    const struct dialect *dialect = dialect_of(privcmd);
    if (!dialect) return -ENOTSUP;
    create.create.others[dialect->emulation] = has_legacy ? all_but_pci : lapic;
    memcpy(create.create.handle, "mediated's tests", 16);
    int result = control(privcmd, 0, createdomain, &create);
    if (result < 0) return result;
    uint16_t domain = create.domain;
    struct control pool = {.size = 2 << 20}, limit = {.size = memory_limit >> 10}, processors = {.count = 1};
    if ((result = control(privcmd, domain, set_paging_mempool_size, &pool)) < 0 ||
        (result = control(privcmd, domain, max_mem, &limit)) < 0 ||
        (result = control(privcmd, domain, max_vcpus, &processors)) < 0) {
        cxd_destroy(privcmd, domain);
        return result;
    }
    return domain;
}

int cxd_destroy(int privcmd, uint16_t domain) {
    int result;
    do result = control(privcmd, domain, destroydomain, &(struct control){0});
    while (result == -EAGAIN || result == -EBUSY);
    return result;
}

// MARK: The state of the processor

struct record { // hvm_save_descriptor
    uint16_t type, instance;
    uint32_t size;
};

struct processor { // hvm_hw_cpu
    uint8_t fpu[512];
    uint64_t rax, rbx, rcx, rdx, rbp, rsi, rdi, rsp, r[8];
    uint64_t rip, rflags, cr0, cr2, cr3, cr4, dr[6];
    uint32_t cs, ds, es, fs, gs, ss, tr, ldtr;
    uint32_t cs_limit, ds_limit, es_limit, fs_limit, gs_limit, ss_limit, tr_limit, ldtr_limit, idtr_limit, gdtr_limit;
    uint64_t cs_base, ds_base, es_base, fs_base, gs_base, ss_base, tr_base, ldtr_base, idtr_base, gdtr_base;
    uint32_t cs_rights, ds_rights, es_rights, fs_rights, gs_rights, ss_rights, tr_rights, ldtr_rights;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, shadow_gs;
    uint64_t msr_flags, lstar, star, cstar, syscall_mask, efer, tsc_aux, tsc;
    uint32_t pending_event, error_code, flags, unused;
};

int cxd_start(int privcmd, uint16_t domain, uint32_t address, uint32_t stack) {
    // Xen takes no state without the header that it makes itself.
    struct control context = {0};
    int result = control(privcmd, domain, gethvmcontext, &context);
    if (result < 0) return result;
    uint8_t *bytes = calloc(1, context.context.size);
    if (!bytes) return -ENOMEM;
    context.context.bytes = bytes;
    result = control(privcmd, domain, gethvmcontext, &context);
    enum { header_size = sizeof(struct record) + 24 };
    struct {
        uint8_t header[header_size];
        struct record record;
        struct processor processor;
        struct record end;
    } __attribute__((packed)) state = {
        .record = {.type = 2, .size = sizeof(struct processor)},
        .processor =
            {
                .rip = address,
                .rsp = stack,
                .rflags = 2,
                .cr0 = 0x11, // PE, ET
                .dr = {[4] = 0xffff0ff0, [5] = 0x400},
                .cs = 8,
                .ds = 16,
                .es = 16,
                .fs = 16,
                .gs = 16,
                .ss = 16,
                .cs_limit = ~0u,
                .ds_limit = ~0u,
                .es_limit = ~0u,
                .fs_limit = ~0u,
                .gs_limit = ~0u,
                .ss_limit = ~0u,
                .tr_limit = 0x67,
                .gdtr_limit = 23,
                .cs_rights = 0xc9b,
                .ds_rights = 0xc93,
                .es_rights = 0xc93,
                .fs_rights = 0xc93,
                .gs_rights = 0xc93,
                .ss_rights = 0xc93,
                .tr_rights = 0x8b,
            },
    };
    if (result >= 0) {
        memcpy(state.header, bytes, header_size);
        struct control all = {.context = {.size = sizeof state, .bytes = (uint8_t *)&state}};
        result = control(privcmd, domain, sethvmcontext, &all);
    }
    free(bytes);
    return result < 0 ? result : control(privcmd, domain, unpausedomain, &(struct control){0});
}

#endif
