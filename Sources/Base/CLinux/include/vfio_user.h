/// The vfio-user wire structures that <linux/vfio.h> does not have, as in QEMU's
/// docs/interop/vfio-user.rst. All fields are in host byte order.
#ifndef CLINUX_VFIO_USER_H
#define CLINUX_VFIO_USER_H

#include <stdint.h>

struct vfio_user_header {
    uint16_t id;
    uint16_t command;
    uint32_t size;
    uint32_t flags;
    uint32_t error;
};

struct vfio_user_version {
    uint16_t major;
    uint16_t minor;
};

struct vfio_user_dma_map {
    uint32_t argsz;
    uint32_t flags;
    uint64_t offset;
    uint64_t address;
    uint64_t size;
};

struct vfio_user_dma_unmap {
    uint32_t argsz;
    uint32_t flags;
    uint64_t address;
    uint64_t size;
};

/// Follows vfio_user_dma_unmap when VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP is set.
struct vfio_user_bitmap {
    uint64_t page_size;
    uint64_t size;
};

struct vfio_user_device_info {
    uint32_t argsz;
    uint32_t flags;
    uint32_t num_regions;
    uint32_t num_irqs;
};

struct vfio_user_region_io_fds {
    uint32_t argsz;
    uint32_t flags;
    uint32_t index;
    uint32_t count;
};

struct vfio_user_sub_region {
    uint64_t offset;
    uint64_t size;
    uint32_t fd_index;
    uint32_t type;
    uint32_t flags;
    uint32_t padding;
    uint64_t datamatch;
};

/* libvfio-user's, which has room for shadow memory. */
struct vfio_user_sub_region_shadow {
    uint64_t offset;
    uint64_t size;
    uint32_t fd_index;
    uint32_t type;
    uint32_t flags;
    uint32_t shadow_mem_fd_index;
    uint64_t shadow_offset;
    uint64_t datamatch;
};

/* What an ioregionfd carries, as published for KVM: a command, and the response to those that want one. */
struct ioregionfd_cmd {
    uint32_t info;
    uint32_t padding;
    uint64_t user_data;
    uint64_t offset;
    uint64_t data;
};

struct ioregionfd_resp {
    uint64_t data;
    uint8_t pad[24];
};

struct vfio_user_irq_set {
    uint32_t argsz;
    uint32_t flags;
    uint32_t index;
    uint32_t start;
    uint32_t count;
};

struct vfio_user_region_access {
    uint64_t offset;
    uint32_t region;
    uint32_t count;
};

struct vfio_user_region_write {
    uint64_t offset;
    uint32_t region;
    uint32_t count;
    uint64_t data;
};

struct vfio_user_dma_access {
    uint64_t address;
    uint64_t count;
};

struct vfio_user_feature {
    uint32_t argsz;
    uint32_t flags;
};

struct vfio_user_mig_state {
    uint32_t device_state;
    uint32_t data_fd;
};

struct vfio_user_dma_logging {
    uint64_t page_size;
    uint32_t num_ranges;
    uint32_t reserved;
};

struct vfio_user_dma_range {
    uint64_t iova;
    uint64_t length;
};

struct vfio_user_dma_report {
    uint64_t iova;
    uint64_t length;
    uint64_t page_size;
};

struct vfio_user_mig_data {
    uint32_t argsz;
    uint32_t size;
};

/// struct vfio_region_info_cap_sparse_mmap without its areas: Swift has no flexible array members.
struct vfio_user_sparse_header {
    uint16_t id;
    uint16_t version;
    uint32_t next;
    uint32_t nr_areas;
    uint32_t reserved;
};

#endif
