/// What confines a process: seccomp(2), landlock(7), credentials(7). For module Linux, folder Sandbox.
#ifndef CLINUX_SANDBOX_H
#define CLINUX_SANDBOX_H

#include <linux/audit.h>
#include <linux/dma-buf.h>
#include <linux/filter.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/udmabuf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>

/// What `seccomp_data.arch` is when a call comes by the one entry that this program uses.
#if defined(__x86_64__)
static const uint32_t clinux_audit_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
static const uint32_t clinux_audit_architecture = AUDIT_ARCH_AARCH64;
#else
#error "The system call filter is written for x86-64 and AArch64."
#endif

/// The opcodes of a seccomp filter, which are sums of macros that Swift doesn't see.
static const uint16_t clinux_bpf_load = BPF_LD | BPF_W | BPF_ABS;
static const uint16_t clinux_bpf_return = BPF_RET | BPF_K;
static const uint16_t clinux_bpf_if_equal = BPF_JMP | BPF_JEQ | BPF_K;
static const uint16_t clinux_bpf_if_at_least = BPF_JMP | BPF_JGE | BPF_K;
static const uint16_t clinux_bpf_if_any_bit = BPF_JMP | BPF_JSET | BPF_K;

/// Commands of fcntl(2) that glibc declares for _GNU_SOURCE alone.
static const int clinux_add_seals = 1024 + 9;
static const int clinux_get_seals = 1024 + 10;

/// An option of sockets that headers before Linux 6.16 don't have (SO_PASSRIGHTS).
static const int clinux_so_passrights = 83;

/// How statx(2) tells the kind of an open file without asking the server of its file system, declared for _GNU_SOURCE alone
/// (AT_EMPTY_PATH | AT_STATX_DONT_SYNC).
static const int clinux_statx_open_file = 0x1000 | 0x4000;

/// The flag of clone(2) that makes a thread, declared for _GNU_SOURCE alone (CLONE_THREAD).
static const int clinux_clone_thread = 0x00010000;

/// Those that give a process other views of the system (CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
/// CLONE_NEWPID, CLONE_NEWNET).
static const int clinux_clone_namespaces = 0x7e020000;

/// Commands of ioctl(2) which are sums of macros that Swift doesn't see: making dma-bufs of memory, and what may be done with
/// them.
static const uint32_t clinux_udmabuf_create = (uint32_t)UDMABUF_CREATE;
static const uint32_t clinux_dma_buf_sync = (uint32_t)DMA_BUF_IOCTL_SYNC;

/// SECCOMP_SET_MODE_FILTER for every thread of the process (SECCOMP_FILTER_FLAG_TSYNC). Returns 0 or -errno; -ESRCH when a
/// thread has a filter of its own.
int clinux_filter_system_calls(const struct sock_filter *program, size_t count);

/// The version of Landlock's interface that the kernel has (LANDLOCK_CREATE_RULESET_VERSION), or -errno: -ENOSYS and
/// -EOPNOTSUPP when it has none.
int clinux_landlock_version(void);

/// A set of rules, which denies these rights everywhere but where clinux_landlock_allow says otherwise
/// (landlock_create_ruleset(2)). Returns its descriptor, close-on-exec, or -errno.
int clinux_landlock_rules(uint64_t files, uint64_t network, uint64_t scopes);

/// Allows rights to a file, or to a folder and all below it; those that only folders have are left out of a file's
/// (landlock_add_rule(2)). Returns 0 or -errno.
int clinux_landlock_allow(int rules, const char *path, uint64_t files);

/// Holds the calling thread, and those that it starts, to the rules (landlock_restrict_self(2)). Returns 0 or -errno.
int clinux_landlock_obey(int rules);

/// PR_SET_NO_NEW_PRIVS. Returns 0 or -errno.
int clinux_forbid_new_privileges(void);

/// PR_SET_DUMPABLE 0: no core dump, and no process of the same user may trace this one. Returns 0 or -errno.
int clinux_forbid_tracing(void);

/// capset(2) of no capability at all, for the calling thread. Returns 0 or -errno.
int clinux_drop_capabilities(void);

/// setrlimit(2) of both the soft and the hard limit to `value`, or to the hard one where that is lower already.
/// Returns 0 or -errno.
int clinux_lower_limit(int resource, uint64_t value);

/// 1 when this is built with AddressSanitizer or ThreadSanitizer, whose runtime maps terabytes at the start; else 0.
int clinux_is_sanitized(void);

/// setgroups(2) of none, setresgid(2), setresuid(2). Returns 0 or -errno; a failure may leave the first of them done.
int clinux_become(uid_t user, gid_t group);

/// 1 when the real, effective and saved user and group are these, there is no further group, and root can't be had back;
/// else 0.
int clinux_is_for_good(uid_t user, gid_t group);

/// fstat(2) by its own number. That of glibc may be newfstatat(2), a call that takes a path. Returns 0 or -errno.
int clinux_fstat(int descriptor, struct stat *status);

#endif
