/// Credentials of one thread, for tests of what a server makes of its peers'.
#ifndef CCREDENTIALS_H
#define CCREDENTIALS_H

#include <stddef.h>
#include <sys/types.h>

/// Gives the calling thread, alone of its process, other credentials for good. Returns 0 or -errno.
int credentials_become(uid_t user, gid_t group, const gid_t *groups, size_t count);

#endif
