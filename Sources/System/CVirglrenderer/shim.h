/// virglrenderer's interface, and the one structure that its header names without saying what is in it.
#ifndef CVIRGLRENDERER_SHIM_H
#define CVIRGLRENDERER_SHIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct virgl_box {
    uint32_t x, y, z;
    uint32_t w, h, d;
};

/* Fences of rings, Venus and the import of memory, which 1.1 has made a part of the stable interface. */
#define VIRGL_RENDERER_UNSTABLE_APIS
#include <virgl/virglrenderer.h>

/* 0.10 has no name for it. */
#ifndef VIRGL_RENDERER_USE_GUEST_VRAM
#define VIRGL_RENDERER_USE_GUEST_VRAM (1 << 14)
#endif

#endif
