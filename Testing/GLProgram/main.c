// GLProgram: draws and computes with OpenGL ES 3.1, without a display, what its caller can check.
//
//     GLProgram scene WxH FRAMES     draws a picture so often, reads it back, and compares it
//     GLProgram compute COUNT        computes so many numbers, and checks each
//     GLProgram fill COUNT           fills so many pictures of 4 MiB each, and tells how many there is room for
//     GLProgram endless              draws until it is ended, and tells of each picture
//
// It prints a line for what draws, and one for what came of it. The picture is that of the lab's glscene: with x from
// the left, y from the bottom, both at the middle of a pixel, red = x / width, green = y / height, and blue within
// height / 4 of the middle.
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES3/gl31.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void __attribute__((noreturn)) fail(const char *what)
{
    fprintf(stderr, "GLProgram: %s (EGL 0x%x, GL 0x%x)\n", what, eglGetError(), glGetError());
    exit(1);
}

static GLuint program(int count, const GLenum *kinds, const char *const *sources)
{
    GLuint program = glCreateProgram();
    for (int i = 0; i < count; i++) {
        GLuint shader = glCreateShader(kinds[i]);
        GLint done = 0;
        glShaderSource(shader, 1, &sources[i], 0);
        glCompileShader(shader);
        glGetShaderiv(shader, GL_COMPILE_STATUS, &done);
        if (!done)
            fail("the shader");
        glAttachShader(program, shader);
    }
    glLinkProgram(program);
    glUseProgram(program);
    return program;
}

static GLuint texture(int width, int height)
{
    GLuint texture;
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, width, height);
    return texture;
}

static void prepare(int width, int height)
{
    static const GLenum kinds[] = {GL_VERTEX_SHADER, GL_FRAGMENT_SHADER};
    static const char *const sources[] = {
        "#version 310 es\n"
        "layout(location = 0) in vec2 place;\n"
        "void main() { gl_Position = vec4(place, 0.0, 1.0); }\n",
        "#version 310 es\n"
        "precision highp float;\n"
        "uniform vec2 size;\n"
        "out vec4 color;\n"
        "void main() {\n"
        "    float inside = distance(gl_FragCoord.xy, size * 0.5) < size.y * 0.25 ? 1.0 : 0.0;\n"
        "    color = vec4(gl_FragCoord.xy / size, inside, 1.0);\n"
        "}\n",
    };
    static const GLfloat places[] = {-1, -1, 1, -1, -1, 1, 1, 1};
    GLuint target, buffer, drawing = program(2, kinds, sources);
    glGenFramebuffers(1, &target);
    glBindFramebuffer(GL_FRAMEBUFFER, target);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture(width, height), 0);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE)
        fail("the framebuffer");
    glUniform2f(glGetUniformLocation(drawing, "size"), width, height);
    glGenBuffers(1, &buffer);
    glBindBuffer(GL_ARRAY_BUFFER, buffer);
    glBufferData(GL_ARRAY_BUFFER, sizeof places, places, GL_STATIC_DRAW);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, 0);
    glEnableVertexAttribArray(0);
    glViewport(0, 0, width, height);
}

static void draw(int width, int height, uint8_t *pixels)
{
    glClearColor(1, 1, 1, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    if (glGetError())
        fail("drawing");
}

static int differing(int width, int height, const uint8_t *pixels)
{
    int count = 0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const uint8_t *pixel = pixels + 4 * ((size_t)y * width + x);
            double edge = hypot(x + 0.5 - width / 2.0, y + 0.5 - height / 2.0) - height / 4.0;
            count += fabs(pixel[0] - 255 * (x + 0.5) / width) > 2 || fabs(pixel[1] - 255 * (y + 0.5) / height) > 2
                || (fabs(edge) >= 1 && pixel[2] != (edge < 0 ? 255 : 0)) || pixel[3] != 255;
        }
    return count;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static int scene(int width, int height, int frames)
{
    uint8_t *pixels = calloc((size_t)width * height, 4);
    prepare(width, height);
    draw(width, height, pixels);
    double start = seconds();
    for (int i = 1; i < frames; i++)
        draw(width, height, pixels);
    double time = seconds() - start;
    int count = differing(width, height, pixels);
    printf("scene %dx%d: %d pixels differ by more than 2, %.3f ms a frame\n", width, height, count,
           frames > 1 ? 1e3 * time / (frames - 1) : 0.0);
    return count ? 1 : 0;
}

static int compute(uint32_t count)
{
    static const GLenum kind = GL_COMPUTE_SHADER;
    static const char *const source =
        "#version 310 es\n"
        "layout(local_size_x = 64) in;\n"
        "layout(std430, binding = 0) buffer Numbers { uint numbers[]; };\n"
        "void main() {\n"
        "    uint place = gl_GlobalInvocationID.x;\n"
        "    uint number = numbers[place];\n"
        "    for (int i = 0; i < 100; i++) number = number * 1664525u + 1013904223u ^ place;\n"
        "    numbers[place] = number;\n"
        "}\n";
    uint32_t *numbers = malloc(4 * (size_t)count);
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = i * 2654435761u;
    GLuint buffer;
    program(1, &kind, &source);
    glGenBuffers(1, &buffer);
    glBindBufferBase(GL_SHADER_STORAGE_BUFFER, 0, buffer);
    glBufferData(GL_SHADER_STORAGE_BUFFER, 4 * (GLsizeiptr)count, numbers, GL_DYNAMIC_COPY);
    double start = seconds();
    glDispatchCompute(count / 64, 1, 1);
    glMemoryBarrier(GL_BUFFER_UPDATE_BARRIER_BIT);
    const uint32_t *results = glMapBufferRange(GL_SHADER_STORAGE_BUFFER, 0, 4 * (GLsizeiptr)count, GL_MAP_READ_BIT);
    if (!results)
        fail("the results");
    double time = seconds() - start;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = numbers[i];
        for (int step = 0; step < 100; step++)
            number = (number * 1664525u + 1013904223u) ^ i;
        wrong += results[i] != number;
    }
    printf("compute %u: %u values wrong, %.3f ms\n", count, wrong, 1e3 * time);
    return wrong ? 1 : 0;
}

static int fill(int count)
{
    GLuint target;
    glGenFramebuffers(1, &target);
    glBindFramebuffer(GL_FRAMEBUFFER, target);
    for (int i = 0; i < count; i++) {
        GLuint picture = texture(1024, 1024);
        if (glGetError() == GL_OUT_OF_MEMORY) {
            printf("fill: room for %d pictures, then out of memory\n", i);
            return 3;
        }
        glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, picture, 0);
        glClear(GL_COLOR_BUFFER_BIT);
        glFinish();
    }
    printf("fill: room for %d pictures\n", count);
    return 0;
}

static void __attribute__((noreturn)) endless(void)
{
    static uint8_t pixels[4 * 256 * 256];
    prepare(256, 256);
    for (int i = 1;; i++) {
        draw(256, 256, pixels);
        printf("picture %d\n", i);
        fflush(stdout);
    }
}

static void begin(void)
{
    static const EGLint wanted[] = {EGL_RENDERABLE_TYPE, EGL_OPENGL_ES3_BIT, EGL_NONE};
    static const EGLint version[] = {EGL_CONTEXT_MAJOR_VERSION, 3, EGL_CONTEXT_MINOR_VERSION, 1, EGL_NONE};
    EGLDisplay display = eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, 0);
    EGLConfig config;
    EGLint found = 0;
    if (!eglInitialize(display, 0, 0))
        fail("eglInitialize");
    eglBindAPI(EGL_OPENGL_ES_API);
    // A configuration for windows or none: nothing is drawn but to textures.
    if (!eglChooseConfig(display, wanted, &config, 1, &found) || !found)
        config = EGL_NO_CONFIG_KHR;
    EGLContext context = eglCreateContext(display, config, EGL_NO_CONTEXT, version);
    if (!eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context))
        fail("eglMakeCurrent");
    printf("renderer %s\n", (const char *)glGetString(GL_RENDERER));
    fflush(stdout);
}

int main(int count, char **words)
{
    int width, height;
    const char *what = count > 1 ? words[1] : "";
    if (!strcmp(what, "scene") && count == 4 && sscanf(words[2], "%dx%d", &width, &height) == 2) {
        begin();
        return scene(width, height, atoi(words[3]));
    }
    if (!strcmp(what, "compute") && count == 3) {
        begin();
        return compute((uint32_t)strtoul(words[2], 0, 10));
    }
    if (!strcmp(what, "fill") && count == 3) {
        begin();
        return fill(atoi(words[2]));
    }
    if (!strcmp(what, "endless") && count == 2) {
        begin();
        endless();
    }
    fprintf(stderr, "usage: GLProgram scene WxH FRAMES | compute COUNT | fill COUNT | endless\n");
    return 64;
}
