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

#include <virgl/virglrenderer.h>

#endif
