// serial: drives a serial port and says what came through.
//
//     serial DEVICE [--speed BAUD] [--flow] [--stop-bits 2] [--parity even|odd] [--timeout SECONDS] COMMAND
//
//     send N       sends N bytes of the stream
//     receive N    receives N bytes and compares them with the stream
//     echo N       receives N bytes and sends each back
//     loopback N   ties the port's output to its own input, sends N bytes of the stream, 16 at a time, and compares
//     lines        prints the modem lines which are up
//     set LINE...  raises +rts +dtr +loop, drops -rts -dtr -loop, prints the modem lines
//     break        sends a break
//
// The stream is the same everywhere: byte number i is (i * 31 + (i >> 8) * 17 + 7) & 255. The report is one line:
//
//     serial /dev/ttyS4 sent 4096 crc32 1a2b3c4d received 0 crc32 00000000 wrong 0 overrun 0 frame 0 parity 0 break 0 ms 360
//
// crc32 is zlib's. `wrong` counts received bytes which differ from the stream. The four errors are what the driver counted
// during the command. It exits 1 when a byte was wrong, an error was counted, or the timeout (10 s without a byte) struck.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef TIOCM_LOOP
#define TIOCM_LOOP 0x8000 // the C library leaves it out
#endif

struct flow { long count; uint32_t crc; };

static int port;
static int timeout = 10;
static struct flow sent, received;
static long wrong;

static void __attribute__((noreturn)) fail(const char *what) {
    fprintf(stderr, "serial: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint8_t stream(long i) { return i * 31 + (i >> 8) * 17 + 7; }

static void account(struct flow *flow, const uint8_t *bytes, long count) {
    uint32_t crc = ~flow->crc;
    for (long i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    flow->crc = ~crc;
    flow->count += count;
}

// Waits until the port can be read or written; false when the timeout strikes.
static int ready(short events) {
    struct pollfd poll_port = {port, events, 0};
    int result;
    while ((result = poll(&poll_port, 1, timeout * 1000)) < 0 && errno == EINTR) {}
    return result > 0;
}

static int put(const uint8_t *bytes, long count) {
    account(&sent, bytes, count);
    while (count > 0) {
        ssize_t n = write(port, bytes, count);
        if (n < 0 && errno != EAGAIN && errno != EINTR) fail("write");
        if (n > 0) bytes += n, count -= n;
        else if (!ready(POLLOUT)) return 0;
    }
    return 1;
}

static long get(uint8_t *bytes, long count) {
    for (;;) {
        ssize_t n = read(port, bytes, count);
        if (n < 0 && errno != EAGAIN && errno != EINTR) fail("read");
        if (n > 0) {
            account(&received, bytes, n);
            return n;
        }
        if (!ready(POLLIN)) return 0;
    }
}

static int transfer(const char *command, long count) {
    uint8_t buffer[4096];
    if (!strcmp(command, "send")) {
        for (long done = 0; done < count;) {
            long n = count - done < (long)sizeof buffer ? count - done : (long)sizeof buffer;
            for (long i = 0; i < n; i++) buffer[i] = stream(done + i);
            if (!put(buffer, n)) return 0;
            done += n;
        }
        return 1;
    }
    if (!strcmp(command, "loopback")) {
        for (long done = 0; done < count;) {
            uint8_t back[16];
            long n = count - done < 16 ? count - done : 16, come = 0;
            for (long i = 0; i < n; i++) buffer[i] = stream(done + i);
            if (!put(buffer, n)) return 0;
            while (come < n) {
                long more = get(back + come, n - come);
                if (more == 0) return 0;
                come += more;
            }
            for (long i = 0; i < n; i++) wrong += back[i] != buffer[i];
            done += n;
        }
        return 1;
    }
    int echo = !strcmp(command, "echo");
    for (long done = 0; done < count;) {
        long n = get(buffer, count - done < (long)sizeof buffer ? count - done : (long)sizeof buffer);
        if (n == 0) return 0;
        if (echo && !put(buffer, n)) return 0;
        for (long i = 0; !echo && i < n; i++) wrong += buffer[i] != stream(done + i);
        done += n;
    }
    return 1;
}

static void configure(long speed, int flow, int stop_bits, const char *parity) {
    static const struct { long baud; speed_t code; } speeds[] = {
        {1200, B1200}, {2400, B2400}, {4800, B4800}, {9600, B9600}, {19200, B19200}, {38400, B38400}, {57600, B57600},
        {115200, B115200}, {230400, B230400}, {460800, B460800}, {921600, B921600},
    };
    struct termios mode;
    if (tcgetattr(port, &mode)) fail("tcgetattr");
    cfmakeraw(&mode);
    mode.c_cflag &= ~(CRTSCTS | CSTOPB | PARENB | PARODD);
    mode.c_cflag |= CLOCAL | CREAD | (flow ? CRTSCTS : 0) | (stop_bits == 2 ? CSTOPB : 0);
    if (parity) mode.c_cflag |= PARENB | (strcmp(parity, "odd") ? 0 : PARODD);
    size_t i = 0;
    while (i < sizeof speeds / sizeof *speeds && speeds[i].baud != speed) i++;
    if (i == sizeof speeds / sizeof *speeds) {
        fprintf(stderr, "serial: %ld baud is not a speed of this tool\n", speed);
        exit(2);
    }
    cfsetspeed(&mode, speeds[i].code);
    if (tcsetattr(port, TCSANOW, &mode)) fail("tcsetattr");
}

static const struct { const char *name; int bit; } lines[] = {
    {"rts", TIOCM_RTS}, {"dtr", TIOCM_DTR}, {"cts", TIOCM_CTS}, {"dsr", TIOCM_DSR}, {"ri", TIOCM_RI}, {"cd", TIOCM_CD},
    {"loop", TIOCM_LOOP},
};

static void print_lines(void) {
    int up;
    if (ioctl(port, TIOCMGET, &up)) fail("TIOCMGET");
    printf("lines");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (up & lines[i].bit) printf(" %s", lines[i].name);
    printf("\n");
}

static void set_line(const char *word) {
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if ((word[0] == '+' || word[0] == '-') && !strcmp(word + 1, lines[i].name)) {
            if (ioctl(port, word[0] == '+' ? TIOCMBIS : TIOCMBIC, &lines[i].bit)) fail(word);
            return;
        }
    fprintf(stderr, "serial: '%s' is no line to set; +rts -rts +dtr -dtr +loop -loop are\n", word);
    exit(2);
}

int main(int count, char **words) {
    long speed = 115200;
    int flow = 0, stop_bits = 1, i = 2;
    const char *parity = 0;
    for (; i + 1 < count && words[i][0] == '-' && words[i][1] == '-'; i++) {
        if (!strcmp(words[i], "--flow")) flow = 1;
        else if (!strcmp(words[i], "--speed")) speed = atol(words[++i]);
        else if (!strcmp(words[i], "--timeout")) timeout = atoi(words[++i]);
        else if (!strcmp(words[i], "--stop-bits")) stop_bits = atoi(words[++i]);
        else if (!strcmp(words[i], "--parity")) parity = words[++i];
        else break;
    }
    const char *command = i < count ? words[i++] : "";
    int loopback = !strcmp(command, "loopback");
    int transfers = loopback || !strcmp(command, "send") || !strcmp(command, "receive") || !strcmp(command, "echo");
    if (!(transfers && i < count) && strcmp(command, "lines") && strcmp(command, "set") && strcmp(command, "break")) {
        fprintf(stderr, "usage: serial DEVICE [--speed BAUD] [--flow] [--stop-bits 2] [--parity even|odd] [--timeout SECONDS]\n"
                        "              (send N | receive N | echo N | loopback N | lines | set LINE... | break)\n");
        return 2;
    }
    port = open(words[1], O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (port < 0) fail(words[1]);
    configure(speed, flow, stop_bits, parity);
    if (!transfers) {
        if (!strcmp(command, "break") && tcsendbreak(port, 0)) fail("break");
        for (; !strcmp(command, "set") && i < count; i++) set_line(words[i]);
        print_lines();
        return 0;
    }
    struct serial_icounter_struct before = {0}, after = {0};
    struct timespec start, end;
    if (loopback) set_line("+loop");
    ioctl(port, TIOCGICOUNT, &before);
    clock_gettime(CLOCK_MONOTONIC, &start);
    int complete = transfer(command, atol(words[i]));
    if (complete && sent.count) tcdrain(port);
    clock_gettime(CLOCK_MONOTONIC, &end);
    ioctl(port, TIOCGICOUNT, &after);
    if (loopback) set_line("-loop");
    int overrun = after.overrun + after.buf_overrun - before.overrun - before.buf_overrun;
    int frame = after.frame - before.frame, parity_errors = after.parity - before.parity, breaks = after.brk - before.brk;
    printf("serial %s sent %ld crc32 %08x received %ld crc32 %08x wrong %ld overrun %d frame %d parity %d break %d ms %ld%s\n",
           words[1], sent.count, sent.crc, received.count, received.crc, wrong, overrun, frame, parity_errors, breaks,
           (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000, complete ? "" : " timeout");
    return !complete || wrong || overrun || frame || parity_errors || breaks;
}
