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

static ssize_t receive(int socket, void *buffer, enum floor_kind kind) {
    if (kind != floor_takes_descriptors) return recv(socket, buffer, buffer_size, kind == floor_polls ? MSG_DONTWAIT : 0);
    char control[CMSG_SPACE(253 * sizeof(int))];
    struct iovec piece = {buffer, buffer_size};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    return recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
}

static void serve(int socket, const struct step *steps, size_t count, enum floor_kind kind) {
    size_t largest = 0;
    for (size_t i = 0; i < count; i++)
        if (steps[i].reply_size > largest) largest = steps[i].reply_size;
    char *buffer = calloc(1, buffer_size);
    char *reply = malloc(largest);
    if (!buffer || !reply) _exit(1);
    /* Memory that nobody has written to is one page of zeroes, again and again, which every cache holds. */
    memset(reply, 0x5a, largest);
    size_t got = 0, current = 0;
    while (1) {
        ssize_t more = receive(socket, buffer, kind);
        if (more < 0 && errno == EAGAIN) continue;
        if (more <= 0) break;
        for (got += (size_t)more; got >= steps[current].request_size; current = (current + 1) % count) {
            got -= steps[current].request_size;
            if (send_all(socket, reply, steps[current].reply_size)) _exit(1);
        }
    }
    _exit(0);
}

/* Ends of other floors' sockets would keep those from seeing that their peer is gone. */
static void keep_only(int first, int second) {
    for (int descriptor = 3; descriptor < 1024; descriptor++)
        if (descriptor != first && descriptor != second) close(descriptor);
}

pid_t floor_start(const struct step *steps, size_t count, enum floor_kind kind, int *socket) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return -errno;
    pid_t process = fork();
    if (process < 0) return -errno;
    if (!process) {
        keep_only(ends[1], -1);
        serve(ends[1], steps, count, kind);
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

static int ask(int socket, const struct question *question, void *reply) {
    int result = 0;
    for (size_t sent = 0; sent < question->request_size && !result; sent += question->message_size) {
        size_t left = question->request_size - sent;
        size_t size = left < question->message_size ? left : question->message_size;
        result = send_all(socket, (const char *)question->request + sent, size);
    }
    return result ? result : receive_all(socket, reply, question->reply_size);
}

int floor_measure(int socket, const struct question *questions, size_t count, void *reply, size_t times,
                  uint32_t *nanoseconds) {
    for (size_t i = 0; i < times; i++) {
        uint64_t start = now();
        for (size_t number = 0; number < count; number++) {
            int result = ask(socket, &questions[number], reply);
            if (result) return result;
        }
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
