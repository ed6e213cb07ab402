/// The C side of module Linux: headers that the Glibc module leaves out, macros as
/// functions, and the few calls that need _GNU_SOURCE or setjmp.
#ifndef CLINUX_H
#define CLINUX_H

#include <linux/vfio.h>
#include <linux/virtio_gpu.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/un.h>

#include "sandbox.h"
#include "vfio_user.h"

/// recvmsg(2) with MSG_CMSG_CLOEXEC that also collects SCM_RIGHTS descriptors.
/// Stores the descriptors, for which there must be room for as many as the kernel passes at once
/// (253, SCM_MAX_FD), and their number; `truncated` tells that the kernel dropped some since this
/// process may have no more (MSG_CTRUNC). Returns the byte count, 0 at end of file, or
/// -errno. Does not retry EINTR.
ssize_t clinux_receive(int socket, void *buffer, size_t size, int flags,
                       int *descriptors, size_t *count, int *truncated);

/// recvmsg(2) with MSG_PEEK and MSG_DONTWAIT, of bytes alone. Returns their number or -errno.
ssize_t clinux_peek(int socket, void *buffer, size_t size);

/// Whether this program was built with ThreadSanitizer, which holds signals back while a thread writes.
int clinux_has_thread_sanitizer(void);

/// Tell ThreadSanitizer, in programs that have it, of a lock that it can't see.
void clinux_lock_taken(void *lock);
void clinux_lock_is_released(void *lock);

/// Whether SO_PASSRIGHTS of an AF_UNIX socket is on: 1, 0 or -errno, -ENOPROTOOPT from a kernel before 6.16.
int clinux_passes_rights(int socket);

/// Sets it. Returns 0 or -errno.
int clinux_pass_rights(int socket, int on);

/// sendmsg(2) with MSG_NOSIGNAL of up to two pieces and SCM_RIGHTS descriptors.
/// Returns the byte count or -errno. Does not retry EINTR.
ssize_t clinux_send(int socket, const void *head, size_t head_size,
                    const void *body, size_t body_size, int flags,
                    const int *descriptors, size_t count);

/// memfd_create(2) with MFD_CLOEXEC | MFD_ALLOW_SEALING. Returns the descriptor or -errno.
int clinux_memfd(const char *name);

/// mremap(2) with MREMAP_FIXED: a mapping takes another's place, which is no more. Returns 0 or -errno.
int clinux_move_mapping(void *from, void *to, size_t size);

/// F_ADD_SEALS of F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL. Returns 0 or -errno.
int clinux_seal_size(int descriptor);

/// F_ADD_SEALS of F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL: mappings that can be written stay so, and
/// nobody can make another. Returns 0 or -errno.
int clinux_seal_writing(int descriptor);

/// 1 when the peer of a local socket has not received all that was sent, 0 when it has or is gone; or -errno. SO_MEMINFO
int clinux_has_unread(int socket);

/// 1 when the file is memory: of a memfd, tmpfs or hugetlbfs. 0 for all else. Asks nobody but the kernel (F_GET_SEALS).
int clinux_is_memory(int descriptor);

/// 1 when the file is a regular one or a device, which have bytes at offsets; 0 for all else: pipes, sockets, eventfds,
/// directories. Asks nobody but the kernel (statx with AT_STATX_DONT_SYNC).
int clinux_holds_bytes(int descriptor);

/// 1 when the file's size can only grow (F_GET_SEALS has F_SEAL_SHRINK), 0 when not, -errno when it can't be sealed.
int clinux_cannot_shrink(int descriptor);

/// Tells the processor that this is a loop that waits for memory to change.
static inline void clinux_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// SO_PEERCRED of a connected AF_UNIX socket. Returns 0 or -errno.
int clinux_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid);

/// SO_PEERGROUPS of a connected AF_UNIX socket. `count` is the room in `groups`, and how many there are then. Returns 0,
/// -ERANGE when there is too little room, or -errno.
int clinux_peer_groups(int socket, gid_t *groups, size_t *count);

/// Copies memory that may fault: a SIGBUS in either range ends the copy and returns
/// -EFAULT instead of ending the process. 1, 2, 4 and 8 aligned bytes are copied by
/// one access each. The handler is installed by clinux_install_fault_guard().
int clinux_copy(void *to, const void *from, size_t size);

/// Installs the SIGBUS handler that clinux_copy relies on. Idempotent; a SIGBUS outside of
/// clinux_copy goes to the handler that was there before.
void clinux_install_fault_guard(void);

/// Installs an empty handler without SA_RESTART and unblocks `signal` in the calling thread, so that
/// it ends blocking calls there with EINTR and does nothing else.
void clinux_install_interrupting_signal(int signal);

/// The realtime signals that this project uses, each for one thing: SIGRTMIN is a function in glibc, and so no constant for Swift.
/// The third is clinux_write_briefly's.
int clinux_sentry_signal(void);
int clinux_vcpu_signal(void);

/// accept4(2) with SOCK_CLOEXEC. Returns the descriptor or -errno.
int clinux_accept(int socket);

/// Flags of open(2) and fchownat(2) that glibc declares for _GNU_SOURCE alone (O_PATH, AT_EMPTY_PATH).
extern const int clinux_o_path;
extern const int clinux_at_empty_path;

/// renameat2(2) with RENAME_NOREPLACE. Returns 0 or -errno: -EEXIST when something is there already.
int clinux_rename_new(const char *from, const char *to);

/// The next extent with data at or after `from` (SEEK_DATA, SEEK_HOLE). Returns 1, 0 when there
/// is none, or -errno.
int clinux_next_data(int descriptor, off_t from, off_t *start, off_t *end);

/// Gives `size` bytes of a file from `offset` on back; they read as zeros afterwards. Returns 0 or -errno.
int clinux_punch_hole(int descriptor, off_t offset, size_t size);

/// posix_openpt(3), grantpt(3) and unlockpt(3) of a new pseudo-terminal in raw mode, non-blocking and
/// close-on-exec. Stores the path of the slave (ptsname_r(3)). Returns the master's descriptor or -errno.
int clinux_open_pty(char *path, size_t size);

/// An inotify(7) descriptor, non-blocking and close-on-exec, that becomes readable whenever somebody opens
/// `path`. Returns the descriptor or -errno.
int clinux_watch_openings(const char *path);

/// pthread_setname_np(3) of the calling thread, cut to the 15 bytes that fit.
void clinux_name_thread(const char *name);

/// Reads what is there and never waits, whether the file is O_NONBLOCK or not. -EAGAIN when there is nothing.
/// RWF_NOWAIT
ssize_t clinux_read_available(int descriptor, void *buffer, size_t size);

/// Makes the timer of clinux_write_briefly for this thread, so that it lacks none later. Returns 0 or -errno.
int clinux_prepare_brief_writes(void);

/// write(2) that ends after a second with -EINTR where it blocks, whoever may make the file block at whatever moment.
/// timer_settime(2) before and after it. Where the system has no timer left, and none was made before, it writes only to what
/// doesn't block; -EAGAIN otherwise.
ssize_t clinux_write_briefly(int descriptor, const void *buffer, size_t size);

/// 1 when the descriptor is an eventfd, 0 when it is something else, -errno when the kernel does not tell
/// (no /proc).
int clinux_is_eventfd(int descriptor);

/// fork(2), which Swift can't call. Returns the child's process ID, 0 in the child, or -errno.
int clinux_fork(void);

/// Has the kernel kill this process when its parent ends (PR_SET_PDEATHSIG). Returns 0 or -errno.
int clinux_die_with_parent(void);

/// Has this process take the place of every process's parent that ends below it (PR_SET_CHILD_SUBREAPER). Returns 0 or -errno.
int clinux_adopt_orphans(void);

/// posix_spawn_file_actions_addclosefrom_np(3), declared for _GNU_SOURCE alone. Returns 0 or an error number.
int clinux_spawn_closes_from(posix_spawn_file_actions_t *actions, int first);

/// malloc_trim(3), keeping nothing.
void clinux_trim_memory(void);

/// pipe2(2), close-on-exec, of two ends: that to read from and that to write to. Non-blocking unless told otherwise. Returns 0 or
/// -errno.
int clinux_pipe(int *ends, bool blocks);

/// UDMABUF_CREATE of a device file: a dma-buf, close-on-exec, of whole pages of a memfd. Returns the descriptor or -errno.
int clinux_udmabuf(int device, int file, uint64_t offset, uint64_t size);

/// pidfd_open(2), close-on-exec. Returns the descriptor or -errno.
int clinux_pidfd(pid_t process);

/// pidfd_send_signal(2). Returns 0 or -errno.
int clinux_pidfd_send(int process, int signal);

/// Gives this process, which has one thread, mounts of its own: others' come here as before, and its own go nowhere. It gets a
/// user namespace for them, with its user and group alone, where it may have no mounts otherwise. unshare(2). Returns 0 or -errno.
int clinux_private_mounts(void);

/// Has `path` show what is at `source` (MS_BIND). An empty file is made where nothing is. Returns 0 or -errno: -EINVAL for what is
/// neither a file nor a socket.
int clinux_cover(const char *path, const char *source);

/// Random numbers, as many bytes as there is room for up to 256, else perhaps fewer. getrandom(2)
ssize_t clinux_random(void *buffer, size_t size);

#endif
