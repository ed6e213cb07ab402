// What the programs here have in common that draw: a display of the kernel's, the picture, and how they fail.
#ifndef DISPLAY_H
#define DISPLAY_H
#include <errno.h>
#include <libdrm/drm.h>
#include <libdrm/drm_mode.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static void __attribute__((noreturn)) fail(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

// How many pixels, of red, green, blue and alpha each, aren't what the picture has there. The lowest line is the first, or the
// highest one with `from_top`.
static inline int compare(const uint8_t *pixels, int width, int height, int from_top) {
    int differing = 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const uint8_t *pixel = pixels + 4 * ((size_t)(from_top ? height - 1 - y : y) * width + x);
            double middle = hypot(x + 0.5 - width / 2.0, y + 0.5 - height / 2.0) - height / 4.0;
            int blue = middle < 0 ? 255 : 0;
            int near = fabs(middle) < 1;
            differing += fabs(pixel[0] - 255 * (x + 0.5) / width) > 2 || fabs(pixel[1] - 255 * (y + 0.5) / height) > 2 ||
                         (!near && pixel[2] != blue) || pixel[3] != 255;
        }
    return differing;
}

// The first connected connector, one of its modes, and a CRTC for it.
static inline void find(int card, int width, int height, uint32_t *connector_id, uint32_t *crtc, struct drm_mode_modeinfo *mode) {
    static struct drm_mode_modeinfo modes[128];
    uint32_t crtcs[16], connectors[16], encoders[32];
    struct drm_mode_card_res resources = {
        .crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 16, .connector_id_ptr = (uintptr_t)connectors, .count_connectors = 16,
    };
    if (ioctl(card, DRM_IOCTL_MODE_GETRESOURCES, &resources)) fail("GETRESOURCES");
    for (uint32_t i = 0; i < resources.count_connectors && i < 16; i++) {
        struct drm_mode_get_connector probe = {.connector_id = connectors[i]};
        ioctl(card, DRM_IOCTL_MODE_GETCONNECTOR, &probe);
        struct drm_mode_get_connector connector = {
            .connector_id = connectors[i], .modes_ptr = (uintptr_t)modes, .count_modes = 128,
            .encoders_ptr = (uintptr_t)encoders, .count_encoders = 32,
        };
        if (ioctl(card, DRM_IOCTL_MODE_GETCONNECTOR, &connector)) fail("GETCONNECTOR");
        if (connector.connection != 1) continue;
        for (uint32_t m = 0; m < connector.count_modes && m < 128; m++)
            if (modes[m].hdisplay == width && modes[m].vdisplay == height) {
                *connector_id = connectors[i];
                *crtc = crtcs[0];
                *mode = modes[m];
                return;
            }
    }
    fprintf(stderr, "no display has a mode %dx%d\n", width, height);
    exit(1);
}

static inline long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// The display keeps the picture while somebody has the card open: a process that does, and nothing else.
static inline int keep(void) {
    int keeper = fork();
    if (keeper < 0) fail("fork");
    if (keeper == 0) {
        setsid();
        for (int stream = 0; stream < 3; stream++) close(stream);
        for (;;) pause();
    }
    return keeper;
}

#endif
