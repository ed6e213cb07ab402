"""A root file system with Mesa's driver for virtio-gpu and programs that draw, for guests with 3D."""
import pathlib

from . import programs
from .cache import LAB, run

SUITE = "trixie"
PACKAGES = ("libgl1-mesa-dri", "libegl1", "libgles2", "libgbm1", "libdrm2", "glmark2-es2-drm", "mesa-utils-bin",
            "libvulkan1", "mesa-vulkan-drivers", "vulkan-tools", "libc6")
HEADERS = ("libc6-dev", "linux-libc-dev", "libegl-dev", "libgles-dev", "libgl-dev", "libgbm-dev", "libdrm-dev",
           "libvulkan-dev", "glslang-tools")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
# What no guest needs.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/lib/x86_64-linux-gnu/gconv",
            "usr/share/perl5", "usr/bin/perl*", "usr/include",
            # Drivers for what no guest has.
            *(f"{LIBRARIES}/libvulkan_{name}.so" for name in ("intel", "intel_hasvk", "nouveau", "radeon", "gfxstream")),
            *(f"usr/share/vulkan/icd.d/{name}_icd*.json" for name in ("intel", "intel_hasvk", "nouveau", "radeon", "gfxstream_vk")))
SIZE = 768
# What each program is linked with.
PROGRAMS = {"glscene": ("-lEGL", "-lGLESv2", "-lgbm", "-ldrm"), "vkscene": ("-lvulkan",)}
SHADERS = ("compute.comp", "picture.vert", "picture.frag")


def prepare(cache, debian):
    """The component `guests/mesa`: root.img, an ext4 file system that is mounted read-only."""
    sources = sorted((LAB / "mesa").iterdir())

    def build(folder):
        cache.say(f"fetching Mesa of {SUITE} for guests (70 MB)")
        with cache.scratch() as tree:
            for name in ("bin", "lib", "lib64", "sbin"):          # as base-files has them
                (tree / "usr" / name).mkdir(parents=True)
                (tree / name).symlink_to(f"usr/{name}")
            debian.unpack(tree, *(f"{package}/{SUITE}" for package in PACKAGES), dependencies=True)
            with cache.scratch() as headers:
                run("cp", "-a", f"{tree}/.", headers, way_out="is the disk full?")
                debian.unpack(headers, *(f"{package}/{SUITE}" for package in HEADERS), dependencies=True)
                _shaders(headers)
                # The host's own libraries may be older: a compiler looks for those first.
                own = headers / LIBRARIES
                for name, libraries in PROGRAMS.items():
                    run("gcc", f"--sysroot={headers}", f"-B{own}", f"-L{own}", f"-I{headers}", "-std=c17", "-O2", "-Wall",
                        "-Wextra", "-Werror", "-o", tree / f"usr/bin/{name}", LAB / f"mesa/{name}.c", *libraries, "-lm",
                        way_out=f"correct Lab/mesa/{name}.c, or install the packages of packages.txt")
            for pattern in LEFT_OUT:
                for path in tree.glob(pattern):
                    run("rm", "-rf", path, way_out="is the cache's file system writable?")
            for name in ("dev", "proc", "sys", "tmp", "run"):
                (tree / name).mkdir(exist_ok=True)
            run("/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-d", tree,
                folder / "root.img", f"{SIZE}M", way_out="is e2fsprogs installed, and the disk not full?")

    recipe = [pathlib.Path(__file__), LAB / "recipes/debian.py", *sources]
    folder, _ = cache.component("guests/mesa", recipe, build)
    return {"MESA_ROOT": folder / "root.img"}


def _shaders(headers):
    """shaders.h, with each shader as words of SPIR-V, by the compiler in the tree of headers."""
    words = b""
    for shader in SHADERS:
        output = headers / "shader.h"
        run(*programs.command(headers, "usr/bin/glslangValidator"), "-V", "--vn", shader.replace(".", "_"), "-o", output,
            LAB / "mesa" / shader, way_out=f"correct Lab/mesa/{shader}")
        words += output.read_bytes().replace(b"#pragma once", b"")
    (headers / "shaders.h").write_bytes(words)
