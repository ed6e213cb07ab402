/// Counts what a process executes, by ptrace(2): each instruction is a stop.
#ifndef CSTEPCOUNTER_H
#define CSTEPCOUNTER_H

#include <stdint.h>
#include <sys/types.h>

/// What lies between two calls of ioctl(2) with one command.
struct csc_turn {
    uint64_t instructions; ///< Of the user's.
    uint64_t calls;        ///< Of the system, the second ioctl(2) among them.
};

/// Has all threads of a process stopped after each instruction, until it has called ioctl(2) with that command once and
/// `count` times more. It goes on undisturbed when the calling thread ends.
///
/// Returns 0, or -errno; -ESRCH when the process ends before.
int csc_count(pid_t process, uint32_t command, struct csc_turn *turns, unsigned count);

#endif
