/// System calls by number, for tests of what happens to those that nobody wraps.
#ifndef CSYSTEMCALL_H
#define CSYSTEMCALL_H

#include <sys/syscall.h>

/// syscall(2). Returns what the call does, or -errno.
long csystemcall(long number, long a, long b, long c, long d, long e, long f);

/// A call by the entry of 32-bit programs: getpid, number 20 there. Returns what it does, or -ENOSYS where there is no
/// such entry.
long csystemcall_32bit(void);

#endif
