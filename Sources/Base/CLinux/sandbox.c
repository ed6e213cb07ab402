#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER
static atomic_int is_confined;

/* LeakSanitizer asks this at the end (<sanitizer/lsan_interface.h>). It looks for leaks by ptrace(2), and aborts where it may not. */
int __lsan_is_turned_off(void) { return is_confined; }
#endif
#endif

int clinux_filter_system_calls(const struct sock_filter *program, size_t count) {
    if (count > BPF_MAXINSNS) return -EINVAL;
    /* The kernel only reads the program. */
    struct sock_fprog filter = {.len = (unsigned short)count, .filter = (struct sock_filter *)program};
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    if (result < 0) return -errno;
#ifdef HAS_ADDRESS_SANITIZER
    is_confined = 1;
#endif
    /* The number of a thread that could not follow. */
    return result > 0 ? -ESRCH : 0;
}

int clinux_landlock_version(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? -errno : (int)version;
}

int clinux_landlock_rules(uint64_t files, uint64_t network, uint64_t scopes) {
    /* struct landlock_ruleset_attr as of version 6. An earlier kernel takes the longer one when what it does not know
       is zero. */
    struct {
        uint64_t handled_access_fs, handled_access_net, scoped;
    } rights = {files, network, scopes};
    long rules = syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
    return rules < 0 ? -errno : (int)rules;
}

int clinux_landlock_allow(int rules, const char *path, uint64_t files) {
    /* EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV. */
    static const uint64_t of_files = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15;
    int descriptor = open(path, O_PATH | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0) return -errno;
    int result = 0;
    if (fstat(descriptor, &status) < 0) {
        result = -errno;
    } else {
        struct landlock_path_beneath_attr rule = {
            .allowed_access = S_ISDIR(status.st_mode) ? files : files & of_files, .parent_fd = descriptor};
        if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0) result = -errno;
    }
    close(descriptor);
    return result;
}

int clinux_landlock_obey(int rules) { return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0; }

int clinux_forbid_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0; }

int clinux_forbid_tracing(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0; }

int clinux_drop_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

int clinux_lower_limit(int resource, uint64_t value) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0) return -errno;
    if (value < limit.rlim_max) limit.rlim_max = value;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

int clinux_is_sanitized(void) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return 1;
#endif
#endif
    return 0;
}

int clinux_become(uid_t user, gid_t group) {
    if (setgroups(0, NULL) < 0 || setresgid(group, group, group) < 0 || setresuid(user, user, user) < 0) return -errno;
    return 0;
}

int clinux_is_for_good(uid_t user, gid_t group) {
    uid_t real_user, effective_user, saved_user;
    gid_t real_group, effective_group, saved_group;
    if (getresuid(&real_user, &effective_user, &saved_user) < 0) return 0;
    if (getresgid(&real_group, &effective_group, &saved_group) < 0) return 0;
    if (real_user != user || effective_user != user || saved_user != user) return 0;
    if (real_group != group || effective_group != group || saved_group != group) return 0;
    return getgroups(0, NULL) == 0 && setresuid(-1, 0, -1) < 0 && setresgid(-1, 0, -1) < 0;
}

int clinux_fstat(int descriptor, struct stat *status) {
    return syscall(SYS_fstat, descriptor, status) < 0 ? -errno : 0;
}
