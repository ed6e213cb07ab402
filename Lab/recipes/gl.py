"""QEMU with its own 3D, and the Mesa that both of them, it and a renderer of ours, draw with in the benchmark."""
from . import programs, qemu
from .cache import LAB

SUITE = "trixie"
MESA = ("libegl1", "libgles2", "libgl1", "libgbm1", "libgl1-mesa-dri")
# What is loaded by its name, rather than linked.
LOADED = ("qemu/accel-*.so", "qemu/hw-display-*.so", "qemu/ui-opengl.so", "qemu/ui-egl-headless.so", "gbm/*.so", "libEGL.so.1",
          "libEGL_mesa.so.0", "libGLESv2.so.2", "libGL.so.1", "libGLX_mesa.so.0", "libOpenGL.so.0")


def prepare(cache, debian):
    """The component `gl`, with the commands `run` and `qemu-system-x86_64` in it."""
    def build(folder):
        cache.say(f"fetching QEMU's 3D of {qemu.SUITE} and Mesa of {SUITE} (90 MB)")
        with cache.scratch() as tree:
            debian.unpack(tree, *(f"{package}/{qemu.SUITE}" for package in (*qemu.PACKAGES, "qemu-system-modules-opengl")),
                          *(f"{package}/{SUITE}" for package in MESA), dependencies=True)
            loaded = [path for pattern in LOADED for path in (tree / programs.LIBRARIES).glob(pattern)]
            firmware = [path for pattern in qemu.FIRMWARE for path in tree.glob(pattern)]
            programs.copy(tree, folder, [tree / qemu.PROGRAM, *loaded], [*firmware, tree / "usr/share/glvnd/egl_vendor.d"])
        for name, text in (("run", RUN), ("qemu-system-x86_64", QEMU)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    folder, _ = cache.component("gl", [LAB / f"recipes/{name}.py" for name in ("gl", "qemu", "programs", "debian")], build)
    return {"GL_RUN": folder / "run", "GL_QEMU": folder / "qemu-system-x86_64"}


RUN = r"""#!/bin/sh
# Runs a program with the libraries of this folder, Mesa's among them; the process id is the program's.
#
# usage: run PROGRAM [ARGUMENT]...
tree=$(dirname "$(realpath "$0")")
libraries=$tree/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$libraries/qemu" GBM_BACKENDS_PATH="$libraries/gbm"
export __EGL_VENDOR_LIBRARY_DIRS="$tree/usr/share/glvnd/egl_vendor.d"
exec "$tree/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries" "$@"
"""

QEMU = r"""#!/bin/sh
# QEMU as run has it.
tree=$(dirname "$(realpath "$0")")
exec "$tree/run" "$tree/usr/bin/qemu-system-x86_64" -L "$tree/usr/share/qemu" -L "$tree/usr/share/seabios" "$@"
"""
