/// What the kernel alone costs: the floor that every measurement is compared with.
#ifndef CFLOOR_H
#define CFLOOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// One question to a server: bytes that are sent, and how many come back.
struct exchange {
    const void *request;
    size_t request_size;
    /// Each send(2) takes so many bytes of the request; the last one what is left.
    size_t message_size;
    size_t reply_size;
};

/// fork(2)s a process that takes `request_size` bytes and sends `reply_size`, again and again, until the
/// peer closes. It receives as much as fits with each recv(2); polling, it never sleeps in it. Stores the caller's end of the
/// socket pair. Returns the process or -errno.
pid_t floor_start(size_t request_size, size_t reply_size, int is_polling, int *socket);

/// The same, but it signals an eventfd(2) for each request instead of a reply.
pid_t floor_start_signalling(size_t request_size, int eventfd, int *socket);

/// Sends a request and receives its reply, `times` times; stores how long each took, in nanoseconds.
/// Returns 0 or -errno.
int floor_measure(int socket, struct exchange exchange, void *reply, size_t times, uint32_t *nanoseconds);

/// Runs `path` with `arguments`, and nobody to read what it says, until something accepts connections at `socket`, and connects. Returns the
/// nanoseconds that it took, or -errno.
int64_t floor_start_device(const char *path, char *const *arguments, const char *socket, pid_t *process,
                           int *connection);

/// Restricts every thread of a process to one processor, or to none with -1. Returns 0 or -errno.
int floor_pin(pid_t process, int processor);

#endif
