/// What the kernel alone costs: the floor that every measurement is compared with.
#ifndef CFLOOR_H
#define CFLOOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What a floor does: it takes so many bytes, and sends so many.
struct step {
    size_t request_size;
    size_t reply_size;
};

/// One question to a server: bytes that are sent, and how many come back.
struct question {
    const void *request;
    size_t request_size;
    /// Each send(2) takes so many bytes of the request; the last one what is left.
    size_t message_size;
    size_t reply_size;
};

enum floor_kind {
    /// Sleeps in recv(2).
    floor_sleeps,
    /// Never sleeps.
    floor_polls,
    /// Sleeps in recvmsg(2), with room for descriptors.
    floor_takes_descriptors,
};

/// fork(2)s a process that does these steps, at least one, again and again, until the peer closes. It receives as much as fits with
/// each call. Stores the caller's end of the socket pair. Returns the process or -errno.
pid_t floor_start(const struct step *steps, size_t count, enum floor_kind kind, int *socket);

/// The same, but it signals an eventfd(2) for each request instead of a reply.
pid_t floor_start_signalling(size_t request_size, int eventfd, int *socket);

/// Asks these questions one after the other, `times` times; stores how long all of them took, in nanoseconds. There is room for the
/// longest reply at `reply`. Returns 0 or -errno.
int floor_measure(int socket, const struct question *questions, size_t count, void *reply, size_t times,
                  uint32_t *nanoseconds);

/// Runs `path` with `arguments`, and nobody to read what it says, until something accepts connections at `socket`, and connects. Returns the
/// nanoseconds that it took, or -errno.
int64_t floor_start_device(const char *path, char *const *arguments, const char *socket, pid_t *process,
                           int *connection);

/// Restricts every thread of a process to one processor, or to none with -1. Returns 0 or -errno.
int floor_pin(pid_t process, int processor);

#endif
