/// Xen's interfaces for device models, as Linux offers them to a program: /dev/xen/privcmd and /dev/xen/evtchn. Each
/// function is one ioctl(2), and returns its result or -errno.
///
/// Both interfaces are stable: any Xen and any kernel with them will do. They are described in Linux's <xen/privcmd.h>
/// and <xen/evtchn.h> and in Xen's public/hvm/dm_op.h and public/hvm/ioreq.h. What is needed of them is declared here,
/// so that no package of Xen's has to be there.
#ifndef CXEN_H
#define CXEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: The requests of virtual processors

/// What a virtual processor asks of a device model, in a page of memory that Xen and the device model share. `struct
/// ioreq`
struct cxen_request {
    /// In the guest's physical memory, or a port. PCI_CONFIG: segment, bus, device and function << 32 | register.
    uint64_t address;
    uint64_t data;    ///< The value, or where in the guest's memory the values are.
    uint32_t count;   ///< How many values of `size` bytes.
    uint32_t size;
    uint32_t port;    ///< The virtual processor's event channel (vp_eport).
    uint16_t unused;
    uint8_t flags;    ///< state:4, data_is_ptr:1, dir:1, df:1
    uint8_t type;
};

/// The kinds of requests (IOREQ_TYPE_…).
enum {
    cxen_type_port = 0,
    cxen_type_memory = 1, ///< COPY
    cxen_type_configuration = 2, ///< PCI_CONFIG
    cxen_type_time_offset = 7, ///< TIMEOFFSET: the guest has set its clock; in the ring alone.
    cxen_type_invalidate = 8,
};

/// The flags of a request.
enum {
    cxen_flag_indirect = 1 << 4,
    cxen_flag_read = 1 << 5,
    cxen_flag_downwards = 1 << 6,
};

/// Takes the request that is ready in a slot, if one is: copies it, and marks it as being worked on (STATE_IOREQ_READY
/// to STATE_IOREQ_INPROCESS). One that somebody has begun to work on and not finished is taken, too.
static inline bool cxen_take_request(struct cxen_request *slot, struct cxen_request *copy) {
    enum { ready = 1, in_process = 2 };
    uint8_t flags = __atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE);
    if ((flags & 15) != ready && (flags & 15) != in_process) return false;
    *copy = *slot;
    __atomic_store_n(&slot->flags, (uint8_t)((flags & ~15) | in_process), __ATOMIC_RELEASE);
    return true;
}

/// Answers the request in a slot (STATE_IORESP_READY). The virtual processor goes on when it is notified.
static inline void cxen_answer_request(struct cxen_request *slot, uint64_t data) {
    enum { answered = 3 };
    slot->data = data;
    uint8_t flags = __atomic_load_n(&slot->flags, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->flags, (uint8_t)((flags & ~15) | answered), __ATOMIC_RELEASE);
}

/// Writes a word after all that was written before.
static inline void cxen_publish(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

/// The ring of buffered requests: writes for which no virtual processor waits. `struct buffered_iopage`
struct cxen_ring {
    uint64_t pointers; ///< How many entries were taken and, above that, written.
    uint64_t entries[511]; ///< type:8, :1, dir:1, log2(size):2, addr:20, data:32
};

/// Takes the next entry of a ring, if there is one, as a request. An entry of eight bytes fills two places.
static inline bool cxen_take_buffered(struct cxen_ring *ring, struct cxen_request *copy) {
    enum { places = sizeof ring->entries / sizeof *ring->entries };
    uint64_t pointers = __atomic_load_n(&ring->pointers, __ATOMIC_ACQUIRE);
    uint32_t taken = (uint32_t)pointers, filled = (uint32_t)(pointers >> 32) - taken;
    if (filled == 0) return false;
    uint64_t entry = __atomic_load_n(&ring->entries[taken % places], __ATOMIC_RELAXED), data = entry >> 32;
    bool is_wide = (entry >> 10 & 3) == 3;
    if (is_wide && filled > 1)
        data |= __atomic_load_n(&ring->entries[(taken + 1) % places], __ATOMIC_RELAXED) >> 32 << 32;
    *copy = (struct cxen_request){
        .address = entry >> 12 & 0xfffff,
        .data = data,
        .count = 1,
        .size = 1u << (entry >> 10 & 3),
        .flags = (entry >> 9 & 1) << 5,
        .type = (uint8_t)entry,
    };
    // More than there are places, or half an entry, Xen never writes: all of that is dropped.
    uint32_t done = filled > places ? filled : is_wide && filled > 1 ? 2 : 1;
    // Xen takes the same off both numbers when they grow large.
    __atomic_fetch_add((uint32_t *)&ring->pointers, done, __ATOMIC_RELEASE);
    return filled <= places && !(is_wide && filled < 2);
}

// MARK: /dev/xen/privcmd

/// The commands of ioctl(2) that a device model makes while it serves: IOCTL_PRIVCMD_MMAPBATCH_V2, IOCTL_PRIVCMD_DM_OP and
/// IOCTL_EVTCHN_NOTIFY.
enum {
    cxen_command_map_frames = 0x205004,
    cxen_command_operate = 0x105005,
    cxen_command_notify = 0x044504,
};

/// IOCTL_PRIVCMD_RESTRICT: calls for other domains, and all hypercalls but those below, fail from now on.
int cxen_restrict(int privcmd, uint16_t domain);
/// IOCTL_PRIVCMD_MMAPBATCH_V2: maps frames of a domain's memory over pages of a mapping of the descriptor. Each of
/// `errors` is 0 or -errno; -ENOENT, when some frame is paged out, is no failure.
int cxen_map_frames(int privcmd, uint16_t domain, void *address, unsigned count, const uint64_t *frames, int *errors);
/// IOCTL_PRIVCMD_MMAP_RESOURCE of XENMEM_resource_ioreq_server: maps `count` pages of a server's over a mapping of the
/// descriptor. Page 0 is the ring of buffered requests, the requests of virtual processors begin in page 1.
int cxen_map_server(int privcmd, uint16_t domain, uint16_t server, uint32_t first, uint32_t count, void *address);

/// XENMEM_populate_physmap: gives the domain memory in frames from `first` on, in all of them or in none. -ENOMEM when it
/// may not have so much.
int cxen_populate(int privcmd, uint16_t domain, uint64_t first, uint64_t count);
/// XENMEM_decrease_reservation: takes memory in frames from `first` on back, as far as the domain has some there.
void cxen_take_back(int privcmd, uint16_t domain, uint64_t first, uint64_t count);
/// XEN_DMOP_relocate_memory: takes frames elsewhere, from the first one on, with what is in them.
int cxen_move_frames(int privcmd, uint16_t domain, uint64_t from, uint64_t to, uint32_t count);

/// XEN_DMOP_nr_vcpus
int cxen_count_processors(int privcmd, uint16_t domain, uint32_t *count);
/// XEN_DMOP_create_ioreq_server, with a ring of buffered requests whose numbers change by atomic operations alone
/// (HVM_IOREQSRV_BUFIOREQ_ATOMIC).
int cxen_create_server(int privcmd, uint16_t domain, uint16_t *server);
/// XEN_DMOP_destroy_ioreq_server
int cxen_destroy_server(int privcmd, uint16_t domain, uint16_t server);
/// XEN_DMOP_get_ioreq_server_info: -ENOENT where there is no such server, or not any more.
/// `ring_port` gets the event channel of its ring, and may be null.
int cxen_find_server(int privcmd, uint16_t domain, uint16_t server, uint32_t *ring_port);
/// XEN_DMOP_set_ioreq_server_state
int cxen_enable_server(int privcmd, uint16_t domain, uint16_t server, bool enabled);

/// XEN_DMOP_IO_RANGE_…
enum { cxen_range_ports = 0, cxen_range_memory = 1, cxen_range_function = 2 };
/// XEN_DMOP_map_io_range_to_ioreq_server, XEN_DMOP_unmap_io_range_from_ioreq_server: accesses from `first` to `last`,
/// both included, are the server's.
int cxen_map_range(int privcmd, uint16_t domain, uint16_t server, uint32_t type, uint64_t first, uint64_t last);
int cxen_unmap_range(int privcmd, uint16_t domain, uint16_t server, uint32_t type, uint64_t first, uint64_t last);

/// XEN_DMOP_track_dirty_vram: which of `count` frames from `first` on were written since the last call, one bit for each.
/// All, when the last call was about others. Xen keeps one such range for a domain. `count` 0: it keeps none any more.
int cxen_track_writes(int privcmd, uint16_t domain, uint64_t first, uint32_t count, void *bits, size_t size);

/// Frames side by side. `struct xen_dm_op_modified_memory_extent`
struct cxen_extent {
    uint32_t count, unused;
    uint64_t first;
};
/// XEN_DMOP_modified_memory: the device model has written there.
int cxen_tell_written(int privcmd, uint16_t domain, const struct cxen_extent *extents, uint32_t count);

/// XEN_DMOP_inject_msi
int cxen_send_message(int privcmd, uint16_t domain, uint64_t address, uint32_t data);
/// XEN_DMOP_set_pci_intx_level, of a device of bus 0.
int cxen_set_pin(int privcmd, uint16_t domain, uint8_t device, uint8_t pin, bool asserted);

// MARK: /dev/xen/evtchn

/// IOCTL_EVTCHN_RESTRICT_DOMID: no more channels to other domains.
int cxen_restrict_channels(int evtchn, uint16_t domain);
/// IOCTL_EVTCHN_BIND_INTERDOMAIN. Returns the number of the channel's own end.
int cxen_bind_channel(int evtchn, uint16_t domain, uint32_t port);
/// IOCTL_EVTCHN_NOTIFY
int cxen_notify(int evtchn, uint32_t port);

#endif
