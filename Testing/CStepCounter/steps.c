#define _GNU_SOURCE
#include "CStepCounter.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#if defined(__x86_64__)

static int seize(pid_t process) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *threads = opendir(path);
    if (!threads) return -errno;
    int result = 0;
    for (struct dirent *entry; !result && (entry = readdir(threads));) {
        pid_t thread = atoi(entry->d_name);
        if (thread <= 0) continue;
        if (ptrace(PTRACE_SEIZE, thread, 0, 0) || ptrace(PTRACE_INTERRUPT, thread, 0, 0)) result = -errno;
    }
    closedir(threads);
    return result;
}

int csc_count(pid_t process, uint32_t command, struct csc_turn *turns, unsigned count) {
    int result = seize(process);
    if (result) return result;
    struct csc_turn turn = {0};
    for (unsigned found = 0; found <= count;) {
        int status;
        // This thread's own tracees: other children of the process are others' business.
        pid_t thread = waitpid(-1, &status, __WALL | __WNOTHREAD);
        if (thread < 0) return -errno;
        if (!WIFSTOPPED(status)) return -ESRCH;
        int signal = WSTOPSIG(status);
        if (status >> 16) {
            signal = 0; // It has been interrupted for us.
        } else if (signal == SIGTRAP) {
            signal = 0;
            struct user_regs_struct registers;
            if (ptrace(PTRACE_GETREGS, thread, 0, &registers)) return -errno;
            turn.instructions++;
            // The number of a system call that has just returned; -1 after any other instruction.
            if ((int64_t)registers.orig_rax >= 0) {
                turn.calls++;
                if (registers.orig_rax == SYS_ioctl && (uint32_t)registers.rsi == command) {
                    // What comes before the first one is no whole turn.
                    if (found) turns[found - 1] = turn;
                    found++;
                    turn = (struct csc_turn){0};
                }
            }
        }
        if (ptrace(PTRACE_SINGLESTEP, thread, 0, signal)) return -errno;
    }
    return 0;
}

#else
int csc_count(pid_t process, uint32_t command, struct csc_turn *turns, unsigned count) { return -ENOTSUP; }
#endif
