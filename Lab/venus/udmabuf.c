/* A stand-in for /dev/udmabuf, for kernels that have none. Preloaded into a renderer and its render server, it answers
 * for the device file and for its limit, and makes descriptors that both can map as they would map a dma-buf.
 *
 * Such a descriptor is one end of a pair of sockets, in which a message waits: the memory file, and which part of it is
 * meant. Whoever maps the descriptor looks at the message, and leaves it there. Unlike a dma-buf it pins no pages: when a
 * hole is punched in the file, who has mapped the part sees zeros, not what was there.
 *
 * UDMABUF_LIMIT is what size_limit_mb says, 64 unless it is set; "none": there is no such device. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct part {
    uint64_t mark, offset, size;
};
static const uint64_t mark = 0x7564616275666d65;

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static unsigned long limit(void) {
    const char *text = getenv("UDMABUF_LIMIT");
    return text ? strtoul(text, NULL, 10) : 64;
}

/* What UDMABUF_CREATE of the kernel does, and what it refuses. */
static int create(const struct udmabuf_create *wanted) {
    const uint64_t page = (uint64_t)getpagesize();
    struct stat status;
    int seals = fcntl((int)wanted->memfd, F_GET_SEALS);
    if (seals < 0 || fstat((int)wanted->memfd, &status) < 0) return errno = EBADFD, -1;
    if (!(seals & F_SEAL_SHRINK) || seals & F_SEAL_WRITE || wanted->offset % page || wanted->size % page || !wanted->size ||
        wanted->size > (uint64_t)status.st_size || wanted->offset > (uint64_t)status.st_size - wanted->size ||
        wanted->size > (uint64_t)limit() << 20)
        return errno = EINVAL, -1;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -1;
    struct part part = {mark, wanted->offset, wanted->size};
    struct iovec data = {&part, sizeof part};
    union control control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    int file = (int)wanted->memfd;
    memcpy(CMSG_DATA(&control.header), &file, sizeof file);
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    bool sent = sendmsg(ends[0], &message, MSG_NOSIGNAL) == sizeof part;
    close(ends[0]);
    if (sent) return ends[1];
    close(ends[1]);
    return errno = ENOMEM, -1;
}

/* What a descriptor stands for; the file is -1 when it is none of ours. Whoever asks closes the file. */
static struct part look(int descriptor, int *file) {
    struct part part = {0};
    struct iovec data = {&part, sizeof part};
    union control control = {0};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int before = errno;
    *file = -1;
    ssize_t count = recvmsg(descriptor, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    errno = before;
    if (count < 0) return part;
    if (message.msg_controllen >= CMSG_LEN(sizeof(int)) && control.header.cmsg_type == SCM_RIGHTS)
        memcpy(file, CMSG_DATA(&control.header), sizeof *file);
    if ((count != sizeof part || part.mark != mark) && *file >= 0) {
        close(*file);
        *file = -1;
    }
    return part;
}

static void *map(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    return (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off64_t offset) {
    int file = -1;
    struct part part = {0};
    if (descriptor >= 0 && flags & MAP_SHARED) part = look(descriptor, &file);
    if (file < 0) return map(address, length, protection, flags, descriptor, offset);
    void *base = MAP_FAILED;
    if (offset < 0 || (uint64_t)offset > part.size || length > part.size - (uint64_t)offset)
        errno = EINVAL;
    else
        base = map(address, length, protection, flags, file, (off_t)part.offset + offset);
    close(file);
    return base;
}
void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    return mmap64(address, length, protection, flags, descriptor, offset);
}

off64_t lseek64(int descriptor, off64_t offset, int whence) {
    off_t place = syscall(SYS_lseek, descriptor, offset, whence);
    if (place >= 0 || errno != ESPIPE) return place;
    int file;
    struct part part = look(descriptor, &file);
    if (file < 0) return errno = ESPIPE, -1;
    close(file);
    return whence == SEEK_END ? (off_t)part.size + offset : 0;
}
off_t lseek(int descriptor, off_t offset, int whence) { return lseek64(descriptor, offset, whence); }

int ioctl(int descriptor, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if ((uint32_t)request == (uint32_t)UDMABUF_CREATE) return create(argument);
    return (int)syscall(SYS_ioctl, descriptor, request, argument);
}

static int open_any(const char *path, int flags, mode_t mode) {
    const char *kernel = getenv("UDMABUF_LIMIT");
    if (kernel && !strcmp(kernel, "none") && strstr(path, "udmabuf")) return errno = ENOENT, -1;
    if (!(flags & O_PATH) && !strcmp(path, "/dev/udmabuf")) return memfd_create("udmabuf", MFD_CLOEXEC);
    if (!strcmp(path, "/sys/module/udmabuf/parameters/size_limit_mb")) {
        int file = memfd_create("size_limit_mb", MFD_CLOEXEC);
        if (file >= 0 && (dprintf(file, "%lu\n", limit()) < 0 || lseek(file, 0, SEEK_SET) < 0)) return -1;
        return file;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)                                       \
    int name(const char *path, int flags, ...) {         \
        va_list arguments;                               \
        va_start(arguments, flags);                      \
        mode_t mode = (mode_t)va_arg(arguments, int);    \
        va_end(arguments);                               \
        return open_any(path, flags, mode);              \
    }
OPEN(open)
OPEN(open64)
