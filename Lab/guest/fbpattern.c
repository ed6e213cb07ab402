// fbpattern: shows a picture which the host can predict.
//
//     fbpattern [--at ADDRESS] [--seed N]                 draws at the framebuffer's current mode
//     fbpattern [--at ADDRESS] [--seed N] --mode WxH [--cursor X,Y] [--frames N]
//                                                         sets a mode of the display and draws; it stays until --end
//     fbpattern [--at ADDRESS] --list                     the modes of the display
//     fbpattern --end                                     gives the screen back to the console
//
// ADDRESS is a PCI function (00:02.0), for a guest with more than one display: /dev/fb0 and /dev/dri/card0 without.
//
// The pixel at (x, y) is, with s the seed, 0 by default:
//
//     red = (x * 7 + y * 3 + s) & 255    green = (x * 3 + y * 11 + s) & 255    blue = (x ^ y ^ s) & 255
//
// in 32 bits a pixel blue comes first in memory, then green, red and zero (XRGB8888); in 16 bits it is RGB565, each colour cut
// off at the low end. It prints one line when the picture is complete, and exits:
//
//     fb 1024x768 stride 4096 bpp 32 done            drm 800x600 stride 3200 bpp 32 done
//
// --frames has the whole picture brought to the display N times more, and tells how long that took:
//
//     drm 1024x768 stride 4096 bpp 32 done, 500 frames in 1234 ms
//
// --cursor puts a hardware cursor of 64x64 pixels at a place of the screen: its left half is red, its right half transparent.
//
// With --mode a process of its own keeps the mode, since the console takes the display back when its last owner goes: --end
// ends it, and so does the next fbpattern. Without, the text console is told to keep off the screen until --end.
#define _GNU_SOURCE
#include <libdrm/drm.h>
#include <libdrm/drm_mode.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/fb.h>
#include <linux/kd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const char keeper_file[] = "/run/fbpattern.pid";
static uint32_t seed;

static void __attribute__((noreturn)) fail(const char *what) {
    fprintf(stderr, "fbpattern: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint32_t pixel(uint32_t x, uint32_t y) {
    uint32_t red = (x * 7 + y * 3 + seed) & 255, green = (x * 3 + y * 11 + seed) & 255, blue = (x ^ y ^ seed) & 255;
    return red << 16 | green << 8 | blue;
}

static void draw(uint8_t *memory, uint32_t width, uint32_t height, uint32_t stride, uint32_t bits) {
    for (uint32_t y = 0; y < height; y++) {
        uint32_t *wide = (void *)(memory + (size_t)y * stride);
        uint16_t *narrow = (void *)wide;
        for (uint32_t x = 0; x < width; x++) {
            uint32_t rgb = pixel(x, y);
            if (bits == 32) wide[x] = rgb;
            else narrow[x] = (rgb >> 19 & 31) << 11 | (rgb >> 10 & 63) << 5 | (rgb >> 3 & 31);
        }
    }
}

static void set_console(long mode) {
    int console = open("/dev/tty0", O_RDWR | O_NOCTTY);
    if (console < 0) return;
    ioctl(console, KDSETMODE, mode);
    close(console);
}

static void end_keeper(void) {
    FILE *file = fopen(keeper_file, "r");
    int keeper = 0;
    if (file && fscanf(file, "%d", &keeper) == 1 && keeper > 1) {
        kill(keeper, SIGTERM);
        for (int i = 0; i < 500 && kill(keeper, 0) == 0; i++) usleep(10000);
    }
    if (file) fclose(file);
    unlink(keeper_file);
}

static int show_framebuffer(const char *path) {
    end_keeper();
    int file = open(path, O_RDWR);
    struct fb_var_screeninfo mode;
    struct fb_fix_screeninfo fixed;
    if (file < 0 || ioctl(file, FBIOGET_VSCREENINFO, &mode) || ioctl(file, FBIOGET_FSCREENINFO, &fixed)) fail(path);
    if (mode.bits_per_pixel != 32 && mode.bits_per_pixel != 16) {
        fprintf(stderr, "fbpattern: %s has %u bits a pixel, and this tool draws 32 or 16\n", path, mode.bits_per_pixel);
        return 1;
    }
    set_console(KD_GRAPHICS);
    uint8_t *memory = mmap(0, fixed.smem_len, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) fail("mmap");
    draw(memory + (size_t)mode.yoffset * fixed.line_length, mode.xres, mode.yres, fixed.line_length, mode.bits_per_pixel);
    // Where the driver keeps a shadow, fsync wakes the worker which copies it to the device, and nothing tells when the
    // worker is done: a pause has to do. --mode is exact.
    fsync(file);
    usleep(300000);
    printf("fb %ux%u stride %u bpp %u done\n", mode.xres, mode.yres, fixed.line_length, mode.bits_per_pixel);
    return 0;
}

// The first connected connector with its modes; the card is opened and its master.
struct display {
    int card;
    uint32_t connector, encoder, crtc, mode_count;
    struct drm_mode_modeinfo modes[128];
};

static void find_display(struct display *display, const char *path) {
    display->card = open(path, O_RDWR | O_CLOEXEC);
    if (display->card < 0) fail(path);
    uint32_t crtcs[16], connectors[16], encoders[32];
    struct drm_mode_card_res resources = {
        .crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 16,
        .connector_id_ptr = (uintptr_t)connectors, .count_connectors = 16,
    };
    if (ioctl(display->card, DRM_IOCTL_MODE_GETRESOURCES, &resources)) fail("GETRESOURCES");
    for (uint32_t i = 0; i < resources.count_connectors && i < 16; i++) {
        struct drm_mode_get_connector probe = {.connector_id = connectors[i]};
        if (ioctl(display->card, DRM_IOCTL_MODE_GETCONNECTOR, &probe)) fail("GETCONNECTOR"); // asks the display again
        struct drm_mode_get_connector connector = {
            .connector_id = connectors[i], .modes_ptr = (uintptr_t)display->modes, .count_modes = 128,
            .encoders_ptr = (uintptr_t)encoders, .count_encoders = 32,
        };
        if (ioctl(display->card, DRM_IOCTL_MODE_GETCONNECTOR, &connector)) fail("GETCONNECTOR");
        if (connector.connection != 1 || connector.count_encoders == 0) continue;
        struct drm_mode_get_encoder encoder = {.encoder_id = connector.encoder_id ? connector.encoder_id : encoders[0]};
        if (ioctl(display->card, DRM_IOCTL_MODE_GETENCODER, &encoder)) fail("GETENCODER");
        display->connector = connectors[i];
        display->crtc = encoder.crtc_id;
        for (uint32_t c = 0; !display->crtc && c < resources.count_crtcs; c++)
            if (encoder.possible_crtcs & 1u << c) display->crtc = crtcs[c];
        display->mode_count = connector.count_modes < 128 ? connector.count_modes : 128;
        return;
    }
    fprintf(stderr, "fbpattern: %s has no connected display\n", path);
    exit(1);
}

static void show_cursor(const struct display *display, int32_t x, int32_t y) {
    enum { edge = 64 };
    struct drm_mode_create_dumb buffer = {.width = edge, .height = edge, .bpp = 32};
    if (ioctl(display->card, DRM_IOCTL_MODE_CREATE_DUMB, &buffer)) fail("CREATE_DUMB");
    struct drm_mode_map_dumb place = {.handle = buffer.handle};
    if (ioctl(display->card, DRM_IOCTL_MODE_MAP_DUMB, &place)) fail("MAP_DUMB");
    uint32_t *pixels = mmap(0, buffer.size, PROT_READ | PROT_WRITE, MAP_SHARED, display->card, place.offset);
    if (pixels == MAP_FAILED) fail("mmap");
    for (uint32_t i = 0; i < edge * edge; i++) pixels[i] = i % edge < edge / 2 ? 0xffff0000 : 0;
    struct drm_mode_cursor2 cursor = {
        .flags = DRM_MODE_CURSOR_BO | DRM_MODE_CURSOR_MOVE, .crtc_id = display->crtc, .x = x, .y = y,
        .width = edge, .height = edge, .handle = buffer.handle,
    };
    if (ioctl(display->card, DRM_IOCTL_MODE_CURSOR2, &cursor)) fail("CURSOR2");
}

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int show_mode(const char *path, uint32_t width, uint32_t height, const int32_t *cursor, uint32_t frames) {
    static struct display display;
    end_keeper();
    find_display(&display, path);
    struct drm_mode_modeinfo *mode = 0;
    for (uint32_t i = 0; !mode && i < display.mode_count; i++)
        if (display.modes[i].hdisplay == width && display.modes[i].vdisplay == height) mode = &display.modes[i];
    if (!mode) {
        fprintf(stderr, "fbpattern: the display has no mode %ux%u; fbpattern --list tells those it has\n", width, height);
        return 1;
    }
    struct drm_mode_create_dumb buffer = {.width = width, .height = height, .bpp = 32};
    if (ioctl(display.card, DRM_IOCTL_MODE_CREATE_DUMB, &buffer)) fail("CREATE_DUMB");
    struct drm_mode_map_dumb place = {.handle = buffer.handle};
    if (ioctl(display.card, DRM_IOCTL_MODE_MAP_DUMB, &place)) fail("MAP_DUMB");
    uint8_t *memory = mmap(0, buffer.size, PROT_READ | PROT_WRITE, MAP_SHARED, display.card, place.offset);
    if (memory == MAP_FAILED) fail("mmap");
    draw(memory, width, height, buffer.pitch, 32);
    struct drm_mode_fb_cmd frame = {
        .width = width, .height = height, .pitch = buffer.pitch, .bpp = 32, .depth = 24, .handle = buffer.handle,
    };
    if (ioctl(display.card, DRM_IOCTL_MODE_ADDFB, &frame)) fail("ADDFB");
    struct drm_mode_crtc crtc = {
        .set_connectors_ptr = (uintptr_t)&display.connector, .count_connectors = 1,
        .crtc_id = display.crtc, .fb_id = frame.fb_id, .mode_valid = 1, .mode = *mode,
    };
    if (ioctl(display.card, DRM_IOCTL_MODE_SETCRTC, &crtc)) fail("SETCRTC");
    struct drm_mode_fb_dirty_cmd dirty = {.fb_id = frame.fb_id};
    if (ioctl(display.card, DRM_IOCTL_MODE_DIRTYFB, &dirty) && errno != ENOSYS) fail("DIRTYFB");
    if (cursor) show_cursor(&display, cursor[0], cursor[1]);
    long start = milliseconds();
    for (uint32_t i = 0; i < frames; i++)
        if (ioctl(display.card, DRM_IOCTL_MODE_DIRTYFB, &dirty)) fail("DIRTYFB");
    long duration = milliseconds() - start;

    int keeper = fork();
    if (keeper < 0) fail("fork");
    if (keeper == 0) {
        setsid();
        for (int stream = 0; stream < 3; stream++) close(stream);
        for (;;) pause();
    }
    FILE *file = fopen(keeper_file, "w");
    if (!file || fprintf(file, "%d\n", keeper) < 0 || fclose(file)) fail(keeper_file);
    printf("drm %ux%u stride %u bpp 32 done", width, height, buffer.pitch);
    if (frames) printf(", %u frames in %ld ms", frames, duration);
    puts("");
    return 0;
}

// The device file of a PCI function's framebuffer or card, which hangs right under it or under its virtio device.
static char *device_file(const char *address, const char *kind, const char *prefix) {
    char pattern[256];
    static const char *const depths[] = {"", "/virtio*"};
    for (size_t i = 0; i < 2; i++) {
        glob_t found;
        snprintf(pattern, sizeof pattern, "/sys/bus/pci/devices/%s%s%s/%s", strlen(address) < 8 ? "0000:" : "", address,
                 depths[i], kind);
        if (glob(pattern, 0, 0, &found) == 0) {
            char *path;
            if (asprintf(&path, "%s%s", prefix, strrchr(found.gl_pathv[0], '/') + 1) < 0) fail("memory");
            return path;
        }
    }
    fprintf(stderr, "fbpattern: no display driver is bound to %s\n", address);
    exit(1);
}

static int list_modes(const char *path) {
    static struct display display;
    find_display(&display, path);
    for (uint32_t i = 0; i < display.mode_count; i++)
        printf("%ux%u %u Hz%s\n", display.modes[i].hdisplay, display.modes[i].vdisplay, display.modes[i].vrefresh,
               display.modes[i].type & DRM_MODE_TYPE_PREFERRED ? " preferred" : "");
    return 0;
}

int main(int count, char **words) {
    const char *address = 0;
    uint32_t width = 0, height = 0, frames = 0;
    int32_t cursor[2];
    int list = 0, end = 0, has_cursor = 0;
    for (int i = 1; i < count; i++) {
        char *next = i + 1 < count ? words[i + 1] : "";
        if (!strcmp(words[i], "--list")) list = 1;
        else if (!strcmp(words[i], "--end")) end = 1;
        else if (!strcmp(words[i], "--at") && *next) address = next, i++;
        else if (!strcmp(words[i], "--seed") && *next) seed = strtoul(next, 0, 0), i++;
        else if (!strcmp(words[i], "--mode") && sscanf(next, "%ux%u", &width, &height) == 2) i++;
        else if (!strcmp(words[i], "--frames") && *next) frames = strtoul(next, 0, 0), i++;
        else if (!strcmp(words[i], "--cursor") && sscanf(next, "%d,%d", &cursor[0], &cursor[1]) == 2) has_cursor = 1, i++;
        else {
            fprintf(stderr, "usage: fbpattern [--at ADDRESS] ([--seed N] [--mode WxH [--cursor X,Y] [--frames N]] | --list) | --end\n");
            return 2;
        }
    }
    if (end) {
        end_keeper();
        set_console(KD_TEXT);
        return 0;
    }
    if (!list && !width) return show_framebuffer(address ? device_file(address, "graphics/fb*", "/dev/") : "/dev/fb0");
    const char *card = address ? device_file(address, "drm/card*", "/dev/dri/") : "/dev/dri/card0";
    return list ? list_modes(card) : show_mode(card, width, height, has_cursor ? cursor : 0, frames);
}
