#define _GNU_SOURCE
#include "CFloor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static int send_all(int socket, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL);
        if (sent < 0) return -errno;
        bytes += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int receive_all(int socket, char *bytes, size_t size) {
    while (size) {
        ssize_t got = recv(socket, bytes, size, 0);
        if (got <= 0) return got ? -errno : -EPIPE;
        bytes += got;
        size -= (size_t)got;
    }
    return 0;
}

/* The room of the server that it is compared with, so that both can take as much at a time. */
enum { buffer_size = 3 << 20 };

static void serve(int socket, size_t request_size, size_t reply_size, int flags) {
    char *buffer = calloc(1, buffer_size);
    char *reply = calloc(1, reply_size);
    size_t got = 0;
    while (buffer && reply) {
        ssize_t more = recv(socket, buffer, buffer_size, flags);
        if (more < 0 && errno == EAGAIN) continue;
        if (more <= 0) break;
        for (got += (size_t)more; got >= request_size; got -= request_size)
            if (send_all(socket, reply, reply_size)) _exit(1);
    }
    _exit(0);
}

/* Ends of other floors' sockets would keep those from seeing that their peer is gone. */
static void keep_only(int first, int second) {
    for (int descriptor = 3; descriptor < 1024; descriptor++)
        if (descriptor != first && descriptor != second) close(descriptor);
}

pid_t floor_start(size_t request_size, size_t reply_size, int is_polling, int *socket) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return -errno;
    pid_t process = fork();
    if (process < 0) return -errno;
    if (!process) {
        keep_only(ends[1], -1);
        serve(ends[1], request_size, reply_size, is_polling ? MSG_DONTWAIT : 0);
    }
    close(ends[1]);
    *socket = ends[0];
    return process;
}

pid_t floor_start_signalling(size_t request_size, int eventfd, int *socket) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return -errno;
    pid_t process = fork();
    if (process < 0) return -errno;
    if (!process) {
        keep_only(ends[1], eventfd);
        char request[256];
        uint64_t one = 1;
        while (!receive_all(ends[1], request, request_size))
            if (write(eventfd, &one, sizeof one) < 0) break;
        _exit(0);
    }
    close(ends[1]);
    *socket = ends[0];
    return process;
}

int floor_measure(int socket, struct exchange exchange, void *reply, size_t times, uint32_t *nanoseconds) {
    for (size_t i = 0; i < times; i++) {
        uint64_t start = now();
        int result = 0;
        for (size_t sent = 0; sent < exchange.request_size && !result; sent += exchange.message_size) {
            size_t left = exchange.request_size - sent;
            size_t size = left < exchange.message_size ? left : exchange.message_size;
            result = send_all(socket, (const char *)exchange.request + sent, size);
        }
        if (!result) result = receive_all(socket, reply, exchange.reply_size);
        if (result) return result;
        nanoseconds[i] = (uint32_t)(now() - start);
    }
    return 0;
}

int64_t floor_start_device(const char *path, char *const *arguments, const char *socket_path, pid_t *process,
                           int *connection) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    uint64_t start = now();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int result = posix_spawn(process, path, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (result) return -result;
    while (now() - start < 5000000000) {
        *connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (!connect(*connection, (struct sockaddr *)&address, sizeof address)) return (int64_t)(now() - start);
        close(*connection);
        struct timespec pause = {.tv_nsec = 20000};
        nanosleep(&pause, NULL);
    }
    return -ETIMEDOUT;
}

int floor_pin(pid_t process, int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int number = 0; number < CPU_SETSIZE; number++)
        if (processor < 0 || number == processor) CPU_SET(number, &set);
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *threads = opendir(path);
    if (!threads) return -errno;
    int result = 0;
    for (struct dirent *entry; (entry = readdir(threads));) {
        pid_t thread = atoi(entry->d_name);
        if (thread > 0 && sched_setaffinity(thread, sizeof set, &set)) result = -errno;
    }
    closedir(threads);
    return result;
}
