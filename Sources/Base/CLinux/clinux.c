#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <linux/udmabuf.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_THREAD_SANITIZER
// <sanitizer/tsan_interface.h>, which comes with no C compiler of Debian's.
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#endif
#endif

/* The kernel passes at most this many descriptors in one message (SCM_MAX_FD). */
enum { max_descriptors = 253 };

union control {
    char bytes[CMSG_SPACE(max_descriptors * sizeof(int))];
    struct cmsghdr align;
};

/* The two calls of a message's way. Those of glibc arm and disarm cancellation, by two atomic operations each, where there are several
   threads; no thread here is cancelled. ThreadSanitizer must see them, for a message orders what two threads do. */
static ssize_t receive_message(int socket, struct msghdr *message, int flags) {
#ifdef HAS_THREAD_SANITIZER
    return recvmsg(socket, message, flags);
#else
    return syscall(SYS_recvmsg, socket, message, flags);
#endif
}

static ssize_t send_bytes(int socket, const void *bytes, size_t size, int flags) {
#ifdef HAS_THREAD_SANITIZER
    return send(socket, bytes, size, flags);
#else
    return syscall(SYS_sendto, socket, bytes, size, flags, NULL, 0);
#endif
}

static size_t collect(struct msghdr *message, int *descriptors) {
    size_t count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t size = c->cmsg_len - CMSG_LEN(0);
        memcpy(descriptors + count, CMSG_DATA(c), size);
        count += size / sizeof(int);
    }
    return count;
}

ssize_t clinux_receive(int socket, void *buffer, size_t size, int flags,
                       int *descriptors, size_t *count, int *truncated) {
    union control control;
    struct iovec piece = {buffer, size};
    /* Room for all that can come: the kernel closes the rest before the call returns, however long that takes. */
    struct msghdr message = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    *count = 0;
    *truncated = 0;
    ssize_t got = receive_message(socket, &message, flags | MSG_CMSG_CLOEXEC);
    if (got < 0) return -errno;
    if (message.msg_controllen) *count = collect(&message, descriptors);
    *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
    return got;
}

ssize_t clinux_peek(int socket, void *buffer, size_t size) {
    struct iovec piece = {buffer, size};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    ssize_t got = recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

int clinux_passes_rights(int socket) {
    int on = 0;
    socklen_t size = sizeof on;
    return getsockopt(socket, SOL_SOCKET, clinux_so_passrights, &on, &size) < 0 ? -errno : on != 0;
}

int clinux_pass_rights(int socket, int on) {
    return setsockopt(socket, SOL_SOCKET, clinux_so_passrights, &on, sizeof on) < 0 ? -errno : 0;
}

ssize_t clinux_send(int socket, const void *head, size_t head_size,
                    const void *body, size_t body_size, int flags,
                    const int *descriptors, size_t count) {
    if (!body_size && !count) {
        ssize_t sent = send_bytes(socket, head, head_size, flags | MSG_NOSIGNAL);
        return sent < 0 ? -errno : sent;
    }
    if (count > max_descriptors) return -E2BIG;
    struct iovec pieces[2] = {{(void *)head, head_size}, {(void *)body, body_size}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = body_size ? 2 : 1};
    union control control;
    if (count) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        memset(control.bytes, 0, message.msg_controllen);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), descriptors, count * sizeof(int));
    }
    ssize_t sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

int clinux_move_mapping(void *from, void *to, size_t size) {
    return mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED ? -errno : 0;
}

int clinux_memfd(const char *name) {
    int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return descriptor < 0 ? -errno : descriptor;
}

int clinux_seal_size(int descriptor) {
    return fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ? -errno : 0;
}

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

int clinux_seal_writing(int descriptor) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    return fcntl(descriptor, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

int clinux_has_unread(int socket) {
    /* SK_MEMINFO_VARS numbers; what was sent counts as the sender's until it is received (SK_MEMINFO_WMEM_ALLOC). */
    enum { wmem_alloc = 2, vars = 9 };
    uint32_t info[vars] = {0};
    socklen_t size = sizeof info;
    if (getsockopt(socket, SOL_SOCKET, SO_MEMINFO, info, &size) < 0) return -errno;
    return info[wmem_alloc] != 0;
}

int clinux_is_memory(int descriptor) { return fcntl(descriptor, F_GET_SEALS) >= 0; }

int clinux_holds_bytes(int descriptor) {
    struct statx status;
    if (statx(descriptor, "", clinux_statx_open_file, STATX_TYPE, &status) < 0) return 0;
    return S_ISREG(status.stx_mode) || S_ISBLK(status.stx_mode) || S_ISCHR(status.stx_mode);
}

int clinux_cannot_shrink(int descriptor) {
    int seals = fcntl(descriptor, F_GET_SEALS);
    return seals < 0 ? -errno : (seals & F_SEAL_SHRINK) != 0;
}

int clinux_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -errno;
    *pid = credentials.pid;
    *uid = credentials.uid;
    *gid = credentials.gid;
    return 0;
}

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

int clinux_peer_groups(int socket, gid_t *groups, size_t *count) {
    socklen_t size = (socklen_t)(*count * sizeof *groups);
    int result = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0 ? -errno : 0;
    *count = size / sizeof *groups;
    return result;
}

/* A copy under guard names its way out here; the handler takes it. The jump never
   crosses a frame but clinux_copy's own. */
static _Thread_local sigjmp_buf *volatile way_out;
static struct sigaction previous_bus_action;

static void on_bus_error(int signal, siginfo_t *info, void *context) {
    if (way_out) {
        /* The jump out of the handler must leave no more signals blocked than the fault found: a sanitizer, which
           installs handlers of its own in front, blocks them all. */
        pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
        siglongjmp(*way_out, 1);
    }
    if (previous_bus_action.sa_flags & SA_SIGINFO) {
        previous_bus_action.sa_sigaction(signal, info, context);
    } else if (previous_bus_action.sa_handler != SIG_DFL && previous_bus_action.sa_handler != SIG_IGN) {
        previous_bus_action.sa_handler(signal);
    } else {
        /* Not ours: with the default action back, the faulting instruction ends the process. */
        sigaction(SIGBUS, &previous_bus_action, NULL);
    }
}

static void install_fault_guard_once(void) {
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_bus_action);
}

void clinux_install_fault_guard(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fault_guard_once);
}

int clinux_copy(void *to, const void *from, size_t size) {
    sigjmp_buf here;
    if (sigsetjmp(here, 0)) {
        way_out = NULL;
        return -EFAULT;
    }
    way_out = &here;
    /* The guard must be there before the copy begins. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    uintptr_t alignment = (uintptr_t)to | (uintptr_t)from;
    if (size == 4 && !(alignment & 3))
        __atomic_store_n((uint32_t *)to, __atomic_load_n((const uint32_t *)from, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
    else if (size == 8 && !(alignment & 7))
        __atomic_store_n((uint64_t *)to, __atomic_load_n((const uint64_t *)from, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
    else if (size == 2 && !(alignment & 1))
        __atomic_store_n((uint16_t *)to, __atomic_load_n((const uint16_t *)from, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
    else
        memcpy(to, from, size);
    /* The copy must be done before the guard goes. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    way_out = NULL;
    return 0;
}

static void do_nothing(int signal) { (void)signal; }

void clinux_install_interrupting_signal(int signal) {
    struct sigaction action = {.sa_handler = do_nothing};
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, NULL);
    /* A thread that a dispatch queue has started inherits a mask that blocks nearly every signal. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int clinux_sentry_signal(void) { return SIGRTMIN; }

int clinux_vcpu_signal(void) { return SIGRTMIN + 1; }

int clinux_accept(int socket) {
    int connection = accept4(socket, NULL, NULL, SOCK_CLOEXEC);
    return connection < 0 ? -errno : connection;
}

const int clinux_o_path = O_PATH;
const int clinux_at_empty_path = AT_EMPTY_PATH;

int clinux_rename_new(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int clinux_next_data(int descriptor, off_t from, off_t *start, off_t *end) {
    *start = lseek(descriptor, from, SEEK_DATA);
    if (*start < 0) return errno == ENXIO ? 0 : -errno;
    *end = lseek(descriptor, *start, SEEK_HOLE);
    return *end < 0 ? -errno : 1;
}

int clinux_punch_hole(int descriptor, off_t offset, size_t size) {
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return fallocate(descriptor, mode, offset, (off_t)size) < 0 ? -errno : 0;
}

/* Raw mode may be set through the master: it is the slave's that changes. */
static int prepare_pty(int master, char *path, size_t size) {
    struct termios mode;
    if (grantpt(master) < 0 || unlockpt(master) < 0 || tcgetattr(master, &mode) < 0) return -errno;
    cfmakeraw(&mode);
    if (tcsetattr(master, TCSANOW, &mode) < 0) return -errno;
    return -ptsname_r(master, path, size);
}

int clinux_open_pty(char *path, size_t size) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0) return -errno;
    int result = prepare_pty(master, path, size);
    if (result < 0) {
        close(master);
        return result;
    }
    return master;
}

int clinux_watch_openings(const char *path) {
    int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (descriptor < 0) return -errno;
    if (inotify_add_watch(descriptor, path, IN_OPEN) < 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

void clinux_name_thread(const char *name) {
    char cut[16];
    snprintf(cut, sizeof cut, "%s", name);
    pthread_setname_np(pthread_self(), cut);
}

ssize_t clinux_random(void *buffer, size_t size) {
    ssize_t got = getrandom(buffer, size, 0);
    return got < 0 ? -errno : got;
}

ssize_t clinux_read_available(int descriptor, void *buffer, size_t size) {
    struct iovec piece = {buffer, size};
    /* An offset of -1 is the file's own position. */
    ssize_t got = preadv2(descriptor, &piece, 1, -1, RWF_NOWAIT);
    if (got < 0 && errno == EOPNOTSUPP) {
        /* A kernel before 5.8 can't promise it for an eventfd. */
        struct pollfd readable = {.fd = descriptor, .events = POLLIN};
        if (poll(&readable, 1, 0) != 1 || !(readable.revents & POLLIN)) return -EAGAIN;
        got = read(descriptor, buffer, size);
    }
    return got < 0 ? -errno : got;
}

/* The kernel has no write to an eventfd that never waits (no RWF_NOWAIT, and O_NONBLOCK is any owner's to clear). So a timer of
   the thread's own leads out of one that does. It runs during the write alone: at another time its signal would interrupt a call
   of whoever else has this thread. */
static _Thread_local struct {
    timer_t timer;
    int is_made;
    volatile sig_atomic_t is_writing;
    sigjmp_buf way_out;
} brief;

static const struct itimerspec one_second = {.it_value = {.tv_sec = 1}}, never;
static pthread_key_t brief_key;

static int brief_signal(void) { return SIGRTMIN + 2; }

static void on_brief_signal(int signal) {
    (void)signal;
    if (brief.is_writing) siglongjmp(brief.way_out, 1);
}

static void delete_brief_timer(void *made) {
    (void)made;
    timer_delete(brief.timer);
}

static void prepare_brief_signal(void) {
    /* A jump out of the handler leaves the signal unblocked. */
    struct sigaction action = {.sa_handler = on_brief_signal, .sa_flags = SA_RESTART | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(brief_signal(), &action, NULL);
    pthread_key_create(&brief_key, delete_brief_timer);
}

static int make_brief_timer(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare_brief_signal);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, brief_signal());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = brief_signal()};
    event._sigev_un._tid = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &brief.timer) < 0) return -errno;
    brief.is_made = 1;
    /* Any value but NULL has the timer deleted when the thread ends. */
    pthread_setspecific(brief_key, &brief);
    return 0;
}

int clinux_prepare_brief_writes(void) { return brief.is_made ? 0 : make_brief_timer(); }

ssize_t clinux_write_briefly(int descriptor, const void *buffer, size_t size) {
    if (!brief.is_made && make_brief_timer() < 0) {
        /* The system has no timer left. Our own eventfds, which don't block, must work then, too. A peer that has one of them could
           make it block just now: a thread that serves peers has called clinux_prepare_brief_writes before. */
        int flags = fcntl(descriptor, F_GETFL);
        if (flags < 0 || !(flags & O_NONBLOCK)) return flags < 0 ? -errno : -EAGAIN;
        ssize_t written = write(descriptor, buffer, size);
        return written < 0 ? -errno : written;
    }
    if (sigsetjmp(brief.way_out, 0)) {
        brief.is_writing = 0;
        return -EINTR;
    }
    brief.is_writing = 1;
    timer_settime(brief.timer, 0, &one_second, NULL);
    ssize_t written = write(descriptor, buffer, size);
    int error = errno;
    brief.is_writing = 0;
    timer_settime(brief.timer, 0, &never, NULL);
    return written < 0 ? -error : written;
}

int clinux_is_eventfd(int descriptor) {
    char path[32], target[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) return -errno;
    target[length] = 0;
    return strcmp(target, "anon_inode:[eventfd]") == 0;
}

int clinux_fork(void) {
    pid_t process = fork();
    return process < 0 ? -errno : process;
}

int clinux_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0; }

int clinux_adopt_orphans(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0; }

int clinux_udmabuf(int device, int file, uint64_t offset, uint64_t size) {
    struct udmabuf_create part = {.memfd = (uint32_t)file, .flags = UDMABUF_FLAGS_CLOEXEC, .offset = offset, .size = size};
    int descriptor = ioctl(device, UDMABUF_CREATE, &part);
    return descriptor < 0 ? -errno : descriptor;
}

void clinux_trim_memory(void) { malloc_trim(0); }

int clinux_pipe(int *ends, bool blocks) {
    return pipe2(ends, O_CLOEXEC | (blocks ? 0 : O_NONBLOCK)) < 0 ? -errno : 0;
}

int clinux_pidfd(pid_t process) {
    long descriptor = syscall(SYS_pidfd_open, process, 0);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int clinux_spawn_closes_from(posix_spawn_file_actions_t *actions, int first) {
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

int clinux_pidfd_send(int process, int signal) {
    return syscall(SYS_pidfd_send_signal, process, signal, NULL, 0) < 0 ? -errno : 0;
}

int clinux_has_thread_sanitizer(void) {
#ifdef HAS_THREAD_SANITIZER
    return 1;
#else
    return 0;
#endif
}

void clinux_lock_taken(void *lock) {
#ifdef HAS_THREAD_SANITIZER
    __tsan_acquire(lock);
#endif
}

void clinux_lock_is_released(void *lock) {
#ifdef HAS_THREAD_SANITIZER
    __tsan_release(lock);
#endif
}

static int write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    ssize_t written = write(file, text, strlen(text));
    int result = written < 0 ? -errno : 0;
    close(file);
    return result;
}

static int own_user_namespace(void)
{
    unsigned user = geteuid(), group = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return -errno;
    char map[64];
    snprintf(map, sizeof map, "%u %u 1", user, user);
    int result = write_text("/proc/self/uid_map", map);
    if (result == 0)
        result = write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "%u %u 1", group, group);
    return result < 0 ? result : write_text("/proc/self/gid_map", map);
}

int clinux_private_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0) {
        if (errno != EPERM)
            return -errno;
        int result = own_user_namespace();
        if (result < 0)
            return result;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -errno : 0;
}

int clinux_cover(const char *path, const char *source)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file >= 0)
        close(file);
    else if (errno != EEXIST)
        return -errno;
    // By descriptor: whoever may change the folder could put something else there.
    int place = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0)
        return -errno;
    struct stat status;
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", place);
    int result = fstat(place, &status) < 0 ? -errno
        : !S_ISREG(status.st_mode) && !S_ISSOCK(status.st_mode) ? -EINVAL
        : mount(source, name, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
    close(place);
    return result;
}
