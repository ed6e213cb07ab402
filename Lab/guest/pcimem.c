// pcimem: reads and writes the BARs and the configuration space of a PCI device.
//
//     pcimem ADDRESS WHERE (rN OFFSET [COUNT] | wN OFFSET VALUE...)...
//
// ADDRESS is a function as /sys/bus/pci/devices names it (0000:00:02.0; the domain may be left out). WHERE is a BAR, 0 to 5,
// `rom`, or `config`. N is the width of one access in bytes: 1, 2, 4 or 8. A memory BAR is mapped, so that one access here is
// one access on the bus; an I/O BAR and configuration space go through pread and pwrite. Reads print one value a line.
//
//     pcimem 00:02.0 2 r2 0x500          the Bochs display's identification: 0xb0c5
//     pcimem 00:02.0 config r4 0x10 6    its BARs
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int file;
static volatile unsigned char *map; // null when the file is read and written instead
static uint64_t size;

static void __attribute__((noreturn)) fail(const char *what) {
    fprintf(stderr, "pcimem: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static uint64_t number(const char *text) {
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (end == text || *end) {
        fprintf(stderr, "pcimem: '%s' is not a number\n", text);
        exit(2);
    }
    return value;
}

static uint64_t load(uint64_t offset, int width) {
    uint64_t value = 0;
    if (!map) {
        if (pread(file, &value, width, offset) != width) fail("read");
        return value;
    }
    switch (width) {
    case 1: return *(volatile uint8_t *)(map + offset);
    case 2: return *(volatile uint16_t *)(map + offset);
    case 4: return *(volatile uint32_t *)(map + offset);
    default: return *(volatile uint64_t *)(map + offset);
    }
}

static void store(uint64_t offset, int width, uint64_t value) {
    if (!map) {
        if (pwrite(file, &value, width, offset) != width) fail("write");
        return;
    }
    switch (width) {
    case 1: *(volatile uint8_t *)(map + offset) = value; return;
    case 2: *(volatile uint16_t *)(map + offset) = value; return;
    case 4: *(volatile uint32_t *)(map + offset) = value; return;
    default: *(volatile uint64_t *)(map + offset) = value;
    }
}

// Writes one word to a file of the device's folder; a bound driver has done this already, so that failure is no news.
static void poke(const char *folder, const char *name, const char *word) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int target = open(path, O_WRONLY);
    if (target < 0) return;
    if (write(target, word, strlen(word)) < 0) errno = 0;
    close(target);
}

int main(int count, char **words) {
    if (count < 5) {
        fprintf(stderr, "usage: pcimem ADDRESS (0..5|rom|config) (rN OFFSET [COUNT] | wN OFFSET VALUE...)...\n");
        return 2;
    }
    char folder[200], path[256];
    int short_address = strlen(words[1]) == strlen("00:02.0");
    snprintf(folder, sizeof folder, "/sys/bus/pci/devices/%s%s", short_address ? "0000:" : "", words[1]);
    int is_config = !strcmp(words[2], "config"), is_rom = !strcmp(words[2], "rom");
    if (is_config || is_rom)
        snprintf(path, sizeof path, "%s/%s", folder, words[2]);
    else
        snprintf(path, sizeof path, "%s/resource%s", folder, words[2]);
    if (is_rom) poke(folder, "rom", "1");
    if (!is_config) poke(folder, "enable", "1");
    file = open(path, is_rom ? O_RDONLY : O_RDWR | O_SYNC);
    if (file < 0) fail(path);
    struct stat status;
    if (fstat(file, &status)) fail(path);
    size = status.st_size;
    if (!is_config && !is_rom) {
        errno = 0;
        void *mapped = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        map = mapped == MAP_FAILED ? 0 : mapped;
        uint8_t probe;
        if (!map && pread(file, &probe, 0, 0) < 0) fail("the BAR can be neither mapped nor read (is its driver bound?)");
        errno = 0;
    }
    for (int i = 3; i < count;) {
        char *verb = words[i++];
        int width = verb[0] && verb[1] && !verb[2] ? verb[1] - '0' : 0;
        if ((verb[0] != 'r' && verb[0] != 'w') || (width != 1 && width != 2 && width != 4 && width != 8) || i == count) {
            fprintf(stderr, "pcimem: '%s' is no access; r1 r2 r4 r8 OFFSET [COUNT] or w1 w2 w4 w8 OFFSET VALUE... are\n", verb);
            return 2;
        }
        uint64_t offset = number(words[i++]), times = 1;
        if (verb[0] == 'r' && i < count && words[i][0] >= '0' && words[i][0] <= '9') times = number(words[i++]);
        for (uint64_t n = 0; verb[0] == 'r' ? n < times : i < count && words[i][0] >= '0' && words[i][0] <= '9';
             n++, offset += width) {
            if (offset > size || (uint64_t)width > size - offset) {
                fprintf(stderr, "pcimem: %d bytes at %#" PRIx64 " are outside of %s, which has %#" PRIx64 "\n", width, offset,
                        path, size);
                return 1;
            }
            if (verb[0] == 'r')
                printf("0x%0*" PRIx64 "\n", width * 2, load(offset, width));
            else
                store(offset, width, number(words[i++]));
        }
    }
    return 0;
}
