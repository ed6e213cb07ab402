#include "CXen.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int result_of(int result) { return result < 0 ? -errno : result; }

_Static_assert(sizeof(struct cxen_request) == 32, "the size of struct ioreq");
_Static_assert(sizeof(struct cxen_ring) == 4096, "a page, of struct buffered_iopage");

// MARK: /dev/xen/privcmd

struct map_frames { // privcmd_mmapbatch_v2
    unsigned count;
    uint16_t domain;
    uint64_t address;
    const uint64_t *frames;
    int *errors;
};

struct map_resource { // privcmd_mmap_resource
    uint16_t domain;
    uint32_t type, id, first;
    uint64_t count, address;
};

struct buffer { // privcmd_dm_op_buf
    void *bytes;
    size_t size;
};

struct operate { // privcmd_dm_op
    uint16_t domain, count;
    const struct buffer *buffers;
};

enum {
    RESTRICT = _IOC(_IOC_NONE, 'P', 6, sizeof(uint16_t)),
    MAP_RESOURCE = _IOC(_IOC_NONE, 'P', 7, sizeof(struct map_resource)),
};

_Static_assert(cxen_command_map_frames == _IOC(_IOC_NONE, 'P', 4, sizeof(struct map_frames)), "MMAPBATCH_V2");
_Static_assert(cxen_command_operate == _IOC(_IOC_NONE, 'P', 5, sizeof(struct operate)), "DM_OP");

int cxen_restrict(int privcmd, uint16_t domain) { return result_of(ioctl(privcmd, RESTRICT, &domain)); }

int cxen_map_frames(int privcmd, uint16_t domain, void *address, unsigned count, const uint64_t *frames, int *errors) {
    struct map_frames map = {count, domain, (uint64_t)address, frames, errors};
    int result = result_of(ioctl(privcmd, cxen_command_map_frames, &map));
    return result == -ENOENT ? 0 : result;
}

int cxen_map_server(int privcmd, uint16_t domain, uint16_t server, uint32_t first, uint32_t count, void *address) {
    enum { ioreq_server = 0 };
    struct map_resource map = {domain, ioreq_server, server, first, count, (uint64_t)address};
    return result_of(ioctl(privcmd, MAP_RESOURCE, &map));
}

/// privcmd_hypercall
struct hypercall {
    uint64_t number, arguments[5];
};

static int64_t change_memory(int privcmd, uint64_t operation, void *argument) {
    enum { memory_op = 12 };
    struct hypercall call = {memory_op, {operation, (uint64_t)argument}};
    // The C library's ioctl() would cut the result to an int.
    long result = syscall(SYS_ioctl, privcmd, _IOC(_IOC_NONE, 'P', 0, sizeof call), &call);
    return result < 0 ? -errno : result;
}

/// Changes frames one by one. Returns how many were changed.
static int64_t change_frames(int privcmd, uint16_t domain, uint64_t operation, uint64_t first, uint64_t count) {
    enum { piece = 256 };
    uint64_t frames[piece], done = 0;
    while (done < count) {
        uint64_t now = count - done < piece ? count - done : piece;
        for (uint64_t i = 0; i < now; i++) frames[i] = first + done + i;
        struct { // xen_memory_reservation
            uint64_t *frames, count;
            unsigned order, flags;
            uint16_t domain;
        } reservation = {frames, now, 0, 0, domain};
        int64_t changed = change_memory(privcmd, operation, &reservation);
        if (changed < 0) return done ? (int64_t)done : changed;
        done += (uint64_t)changed;
        if ((uint64_t)changed < now) break;
    }
    return (int64_t)done;
}

int cxen_populate(int privcmd, uint16_t domain, uint64_t first, uint64_t count) {
    enum { populate_physmap = 6 };
    int64_t done = change_frames(privcmd, domain, populate_physmap, first, count);
    if (done < 0) return (int)done;
    if ((uint64_t)done == count) return 0;
    cxen_take_back(privcmd, domain, first, (uint64_t)done);
    return -ENOMEM;
}

void cxen_take_back(int privcmd, uint16_t domain, uint64_t first, uint64_t count) {
    enum { decrease_reservation = 1 };
    change_frames(privcmd, domain, decrease_reservation, first, count);
}

/// struct xen_dm_op, as far as it is used. In the union everything begins at a multiple of 8.
struct operation {
    uint32_t number, unused;
    union {
        struct {
            uint8_t buffered, unused[3];
            uint16_t server;
        } create;
        struct {
            uint16_t server, flags;
            uint32_t buffered_port;
            uint64_t frame, buffered_frame;
        } info;
        struct {
            uint16_t server, unused;
            uint32_t type;
            uint64_t first, last;
        } range;
        struct {
            uint16_t server;
            uint8_t enabled, unused;
        } state;
        struct {
            uint16_t server, unused;
        } destroy;
        struct {
            uint16_t segment;
            uint8_t bus, device, pin, level;
        } pin;
        struct {
            uint32_t data, unused;
            uint64_t address;
        } message;
        struct {
            uint32_t count, unused;
            uint64_t from, to;
        } move;
        struct {
            uint32_t count, unused;
            uint64_t first;
        } track;
        struct {
            uint32_t extents, opaque;
        } written;
        uint32_t processors;
    };
};

enum { // XEN_DMOP_…
    create_ioreq_server = 1,
    get_ioreq_server_info = 2,
    map_io_range_to_ioreq_server = 3,
    unmap_io_range_from_ioreq_server = 4,
    set_ioreq_server_state = 5,
    destroy_ioreq_server = 6,
    track_dirty_vram = 7,
    set_pci_intx_level = 8,
    modified_memory = 11,
    inject_msi = 14,
    relocate_memory = 17,
    nr_vcpus = 20,
};

/// `more`: a second buffer, if there is one.
static int operate_with(int privcmd, uint16_t domain, struct operation *operation, struct buffer more) {
    struct buffer buffers[] = {{operation, sizeof *operation}, more};
    struct operate operate = {domain, more.bytes ? 2 : 1, buffers};
    return result_of(ioctl(privcmd, cxen_command_operate, &operate));
}

static int operate(int privcmd, uint16_t domain, struct operation *operation) {
    return operate_with(privcmd, domain, operation, (struct buffer){0});
}

int cxen_count_processors(int privcmd, uint16_t domain, uint32_t *count) {
    struct operation operation = {.number = nr_vcpus};
    int result = operate(privcmd, domain, &operation);
    *count = operation.processors;
    return result;
}

int cxen_create_server(int privcmd, uint16_t domain, uint16_t *server) {
    enum { atomic_ring = 2 };
    struct operation operation = {.number = create_ioreq_server, .create = {.buffered = atomic_ring}};
    int result = operate(privcmd, domain, &operation);
    *server = operation.create.server;
    return result;
}

int cxen_destroy_server(int privcmd, uint16_t domain, uint16_t server) {
    return operate(privcmd, domain, &(struct operation){.number = destroy_ioreq_server, .destroy = {server}});
}

int cxen_find_server(int privcmd, uint16_t domain, uint16_t server, uint32_t *ring_port) {
    enum { no_gfns = 1 };
    struct operation operation = {.number = get_ioreq_server_info, .info = {server, no_gfns}};
    int result = operate(privcmd, domain, &operation);
    if (ring_port) *ring_port = operation.info.buffered_port;
    return result;
}

int cxen_enable_server(int privcmd, uint16_t domain, uint16_t server, bool enabled) {
    return operate(privcmd, domain, &(struct operation){.number = set_ioreq_server_state, .state = {server, enabled}});
}

static int change_range(
    uint32_t number, int privcmd, uint16_t domain, uint16_t server, uint32_t type, uint64_t first, uint64_t last) {
    return operate(privcmd, domain, &(struct operation){.number = number, .range = {server, 0, type, first, last}});
}

int cxen_map_range(int privcmd, uint16_t domain, uint16_t server, uint32_t type, uint64_t first, uint64_t last) {
    return change_range(map_io_range_to_ioreq_server, privcmd, domain, server, type, first, last);
}

int cxen_unmap_range(int privcmd, uint16_t domain, uint16_t server, uint32_t type, uint64_t first, uint64_t last) {
    return change_range(unmap_io_range_from_ioreq_server, privcmd, domain, server, type, first, last);
}

int cxen_track_writes(int privcmd, uint16_t domain, uint64_t first, uint32_t count, void *bits, size_t size) {
    struct operation operation = {.number = track_dirty_vram, .track = {.count = count, .first = first}};
    return operate_with(privcmd, domain, &operation, (struct buffer){bits, size});
}

int cxen_tell_written(int privcmd, uint16_t domain, const struct cxen_extent *extents, uint32_t count) {
    struct operation operation = {.number = modified_memory, .written = {count, 0}};
    return operate_with(privcmd, domain, &operation, (struct buffer){(void *)extents, count * sizeof *extents});
}

int cxen_send_message(int privcmd, uint16_t domain, uint64_t address, uint32_t data) {
    return operate(
        privcmd, domain, &(struct operation){.number = inject_msi, .message = {.data = data, .address = address}});
}

int cxen_set_pin(int privcmd, uint16_t domain, uint8_t device, uint8_t pin, bool asserted) {
    return operate(
        privcmd, domain,
        &(struct operation){.number = set_pci_intx_level, .pin = {.device = device, .pin = pin, .level = asserted}});
}

int cxen_move_frames(int privcmd, uint16_t domain, uint64_t from, uint64_t to, uint32_t count) {
    return operate(
        privcmd, domain,
        &(struct operation){.number = relocate_memory, .move = {.count = count, .from = from, .to = to}});
}

// MARK: /dev/xen/evtchn

struct channel { // ioctl_evtchn_bind_interdomain
    unsigned domain, port;
};

enum {
    BIND_INTERDOMAIN = _IOC(_IOC_NONE, 'E', 1, sizeof(struct channel)),
    RESTRICT_DOMID = _IOC(_IOC_NONE, 'E', 6, sizeof(uint16_t)),
};

_Static_assert(cxen_command_notify == _IOC(_IOC_NONE, 'E', 4, sizeof(unsigned)), "NOTIFY");

int cxen_restrict_channels(int evtchn, uint16_t domain) { return result_of(ioctl(evtchn, RESTRICT_DOMID, &domain)); }
int cxen_bind_channel(int evtchn, uint16_t domain, uint32_t port) {
    return result_of(ioctl(evtchn, BIND_INTERDOMAIN, &(struct channel){domain, port}));
}
int cxen_notify(int evtchn, uint32_t port) { return result_of(ioctl(evtchn, cxen_command_notify, &port)); }
