// glscene: draws a picture with OpenGL ES that the host can compute.
//
//     glscene --offscreen WxH              draws into a texture, reads it back, and compares
//     glscene --screen WxH [--frames N]    sets a mode of the display, and draws it N times (1 by default), each with a
//                                          page flip; the last one stays until the process that keeps it is killed
//
// With x from the left, y from the top, both at the middle of a pixel, and r = height / 4:
//
//     red = x / width    green = 1 - y / height    blue = 1 within r of the middle of the picture, 0 elsewhere
//
// It prints one line for what draws, and one for what was drawn:
//
//     renderer virgl (LLVMPIPE (LLVM 15.0.6, 256 bits))
//     offscreen 320x240: 0 pixels differ by more than 2        screen 640x480: 30 frames in 812 ms, kept by 123
#define _GNU_SOURCE
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <fcntl.h>
#include <gbm.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "display.h"

static const char vertex_source[] =
    "attribute vec2 place;\n"
    "void main() { gl_Position = vec4(place, 0.0, 1.0); }\n";

static const char fragment_source[] =
    "precision highp float;\n"
    "uniform vec2 size;\n"
    "void main() {\n"
    "    float inside = distance(gl_FragCoord.xy, size * 0.5) < size.y * 0.25 ? 1.0 : 0.0;\n"
    "    gl_FragColor = vec4(gl_FragCoord.xy / size, inside, 1.0);\n"
    "}\n";

static GLuint shader(GLenum kind, const char *source) {
    GLuint shader = glCreateShader(kind);
    GLint done = 0;
    glShaderSource(shader, 1, &source, 0);
    glCompileShader(shader);
    glGetShaderiv(shader, GL_COMPILE_STATUS, &done);
    if (!done) fail("the shader");
    return shader;
}

static void prepare(int width, int height) {
    static const GLfloat places[] = {-1, -1, 1, -1, -1, 1, 1, 1};
    GLuint program = glCreateProgram();
    glAttachShader(program, shader(GL_VERTEX_SHADER, vertex_source));
    glAttachShader(program, shader(GL_FRAGMENT_SHADER, fragment_source));
    glBindAttribLocation(program, 0, "place");
    glLinkProgram(program);
    glUseProgram(program);
    glUniform2f(glGetUniformLocation(program, "size"), width, height);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, places);
    glEnableVertexAttribArray(0);
    glViewport(0, 0, width, height);
}

static void draw(void) {
    glClearColor(1, 1, 1, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
}

static void offscreen(int width, int height) {
    GLuint texture, target;
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, 0);
    glGenFramebuffers(1, &target);
    glBindFramebuffer(GL_FRAMEBUFFER, target);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture, 0);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE) fail("the framebuffer");
    prepare(width, height);
    draw();
    uint8_t *pixels = calloc((size_t)width * height, 4);
    glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    int differing = compare(pixels, width, height, 0);
    printf("offscreen %dx%d: %d pixels differ by more than 2\n", width, height, differing);
    exit(differing ? 1 : 0);
}

static uint32_t frame(int card, struct gbm_bo *buffer) {
    struct drm_mode_fb_cmd frame = {
        .width = gbm_bo_get_width(buffer), .height = gbm_bo_get_height(buffer), .pitch = gbm_bo_get_stride(buffer),
        .bpp = 32, .depth = 24, .handle = gbm_bo_get_handle(buffer).u32,
    };
    if (ioctl(card, DRM_IOCTL_MODE_ADDFB, &frame)) fail("ADDFB");
    return frame.fb_id;
}

static void flip(int card, uint32_t crtc, uint32_t frame) {
    struct drm_mode_crtc_page_flip flip = {.crtc_id = crtc, .fb_id = frame, .flags = DRM_MODE_PAGE_FLIP_EVENT};
    char events[256];
    if (ioctl(card, DRM_IOCTL_MODE_PAGE_FLIP, &flip)) fail("PAGE_FLIP");
    if (read(card, events, sizeof events) < 0) fail("the flip's event");
}

int main(int count, char **words) {
    int width = 0, height = 0, frames = 1, screen = count > 1 && !strcmp(words[1], "--screen");
    int usable = count > 2 && (screen || !strcmp(words[1], "--offscreen")) && sscanf(words[2], "%dx%d", &width, &height) == 2;
    if (usable && count == 5 && !strcmp(words[3], "--frames")) frames = atoi(words[4]);
    if (!usable || width < 1 || height < 1 || frames < 1) {
        fprintf(stderr, "usage: glscene --offscreen WxH | --screen WxH [--frames N]\n");
        return 2;
    }
    int card = open(screen ? "/dev/dri/card0" : "/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
    if (card < 0) fail("the graphics device");
    struct gbm_device *device = gbm_create_device(card);
    if (!device) fail("gbm_create_device");
    EGLDisplay display = eglGetPlatformDisplay(EGL_PLATFORM_GBM_KHR, device, 0);
    if (!eglInitialize(display, 0, 0)) fail("eglInitialize");
    eglBindAPI(EGL_OPENGL_ES_API);
    static const EGLint wanted[] = {EGL_SURFACE_TYPE, EGL_WINDOW_BIT, EGL_RED_SIZE, 8, EGL_GREEN_SIZE, 8, EGL_BLUE_SIZE, 8,
                                    EGL_ALPHA_SIZE, 0, EGL_RENDERABLE_TYPE, EGL_OPENGL_ES2_BIT, EGL_NONE};
    EGLConfig configs[64], config = 0;
    EGLint found = 0, visual = 0;
    if (!eglChooseConfig(display, wanted, configs, 64, &found)) fail("eglChooseConfig");
    for (EGLint i = 0; i < found && !config; i++)
        if (eglGetConfigAttrib(display, configs[i], EGL_NATIVE_VISUAL_ID, &visual) && visual == GBM_FORMAT_XRGB8888)
            config = configs[i];
    if (!config) fail("a configuration of XRGB8888");
    static const EGLint version[] = {EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE};
    EGLContext context = eglCreateContext(display, config, EGL_NO_CONTEXT, version);
    struct gbm_surface *buffers = 0;
    EGLSurface surface = EGL_NO_SURFACE;
    if (screen) {
        buffers = gbm_surface_create(device, width, height, GBM_FORMAT_XRGB8888, GBM_BO_USE_SCANOUT | GBM_BO_USE_RENDERING);
        if (!buffers) fail("gbm_surface_create");
        surface = eglCreatePlatformWindowSurface(display, config, buffers, 0);
    }
    if (!eglMakeCurrent(display, surface, surface, context)) fail("eglMakeCurrent");
    printf("renderer %s\n", (const char *)glGetString(GL_RENDERER));
    if (!screen) offscreen(width, height);

    uint32_t connector, crtc;
    struct drm_mode_modeinfo mode;
    find(card, width, height, &connector, &crtc, &mode);
    prepare(width, height);
    long start = milliseconds();
    struct gbm_bo *shown = 0;
    for (int i = 0; i < frames; i++) {
        draw();
        if (!eglSwapBuffers(display, surface)) fail("eglSwapBuffers");
        struct gbm_bo *next = gbm_surface_lock_front_buffer(buffers);
        if (!next) fail("gbm_surface_lock_front_buffer");
        uint32_t id = frame(card, next);
        struct drm_mode_crtc set = {
            .set_connectors_ptr = (uintptr_t)&connector, .count_connectors = 1, .crtc_id = crtc, .fb_id = id,
            .mode_valid = 1, .mode = mode,
        };
        if (i == 0 && ioctl(card, DRM_IOCTL_MODE_SETCRTC, &set)) fail("SETCRTC");
        if (i > 0) flip(card, crtc, id);
        if (shown) gbm_surface_release_buffer(buffers, shown);
        shown = next;
    }
    int keeper = keep();
    printf("screen %dx%d: %d frames in %ld ms, kept by %d\n", width, height, frames, milliseconds() - start, keeper);
    fflush(stdout);
    _exit(0);
}
