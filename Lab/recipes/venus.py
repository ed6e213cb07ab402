"""virglrenderer with Venus, its render server and Mesa's software drivers, for renderers on hosts that have none of them or older ones."""
from . import programs
from .cache import LAB, run

SUITE = "trixie"
PACKAGES = ("libvirglrenderer1", "virgl-server", "libvulkan1", "mesa-vulkan-drivers", "libegl1", "libgles2", "libgl1", "libgbm1",
            "libgl1-mesa-dri")
SERVER = "usr/libexec/virgl_render_server"
# What is loaded by its name, rather than linked.
LOADED = ("libvirglrenderer.so.1", "libvulkan.so.1", "libvulkan_lvp.so", "gbm/*.so", "libEGL.so.1", "libEGL_mesa.so.0",
          "libGLESv2.so.2", "libGL.so.1", "libGLX_mesa.so.0", "libOpenGL.so.0")
STAND_IN = LAB / "venus/udmabuf.c"


def prepare(cache, debian):
    """The component `venus`, with the command `run` in it."""
    def build(folder):
        cache.say(f"fetching virglrenderer and Mesa's Vulkan of {SUITE} (90 MB)")
        with cache.scratch() as tree:
            debian.unpack(tree, *(f"{package}/{SUITE}" for package in PACKAGES), dependencies=True)
            if not (tree / "lib64").exists():                     # as base-files has it
                (tree / "lib64").symlink_to("usr/lib64")
            loaded = [path for pattern in LOADED for path in (tree / programs.LIBRARIES).glob(pattern)]
            programs.copy(tree, folder, [tree / SERVER, *loaded],
                          [tree / "usr/share/glvnd/egl_vendor.d", tree / "usr/share/vulkan/icd.d/lvp_icd.json"])
        run("gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", folder / "udmabuf.so", STAND_IN,
            way_out=f"correct {STAND_IN.relative_to(LAB.parent)}, or install the packages of packages.txt")
        for name, text in (("run", RUN), ("virgl_render_server", SERVE)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    recipe = [*(LAB / f"recipes/{name}.py" for name in ("venus", "programs", "debian")), STAND_IN]
    folder, _ = cache.component("venus", recipe, build)
    return {"VENUS_RUN": folder / "run"}


RUN = r"""#!/bin/sh
# Runs a program, such as mediated-renderer, with the libraries of this folder and the stand-in for /dev/udmabuf; the process id is
# the program's. What is set in the environment already stays.
#
# usage: run PROGRAM [ARGUMENT]...
tree=${0%/*}
libraries=$tree/usr/lib/x86_64-linux-gnu
export RENDER_SERVER_EXEC_PATH="${RENDER_SERVER_EXEC_PATH-$tree/virgl_render_server}" UDMABUF_LIMIT="${UDMABUF_LIMIT-16384}"
export VK_DRIVER_FILES="${VK_DRIVER_FILES-$tree/usr/share/vulkan/icd.d/lvp_icd.json}"
export GBM_BACKENDS_PATH="$libraries/gbm" __EGL_VENDOR_LIBRARY_DIRS="$tree/usr/share/glvnd/egl_vendor.d"
exec "$tree/usr/lib64/ld-linux-x86-64.so.2" --preload "$tree/udmabuf.so" --library-path "$libraries" "$@"
"""

SERVE = r"""#!/bin/sh
# The render server, as run has it.
exec "${0%/*}/run" "${0%/*}/usr/libexec/virgl_render_server" "$@"
"""
