"""A root file system with Mesa's driver for virtio-gpu and programs that draw, for guests with 3D."""
import pathlib

from .cache import LAB, run

SUITE = "trixie"
PACKAGES = ("libgl1-mesa-dri", "libegl1", "libgles2", "libgbm1", "libdrm2", "glmark2-es2-drm", "mesa-utils-bin", "libc6")
HEADERS = ("libc6-dev", "linux-libc-dev", "libegl-dev", "libgles-dev", "libgl-dev", "libgbm-dev", "libdrm-dev")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
# What no guest needs.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/lib/x86_64-linux-gnu/gconv",
            "usr/share/perl5", "usr/bin/perl*", "usr/include")
SIZE = 640


def prepare(cache, debian):
    """The component `guests/mesa`: root.img, an ext4 file system that is mounted read-only."""
    program = LAB / "mesa/glscene.c"

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
                # The host's own libraries may be older: a compiler looks for those first.
                own = headers / LIBRARIES
                run("gcc", f"--sysroot={headers}", f"-B{own}", f"-L{own}", "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-o",
                    tree / "usr/bin/glscene", program, "-lEGL", "-lGLESv2", "-lgbm", "-ldrm", "-lm",
                    way_out=f"correct {program.relative_to(LAB.parent)}, or install the packages of packages.txt")
            for pattern in LEFT_OUT:
                for path in tree.glob(pattern):
                    run("rm", "-rf", path, way_out="is the cache's file system writable?")
            for name in ("dev", "proc", "sys", "tmp", "run"):
                (tree / name).mkdir(exist_ok=True)
            run("/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-d", tree,
                folder / "root.img", f"{SIZE}M", way_out="is e2fsprogs installed, and the disk not full?")

    recipe = [pathlib.Path(__file__), LAB / "recipes/debian.py", program]
    folder, _ = cache.component("guests/mesa", recipe, build)
    return {"MESA_ROOT": folder / "root.img"}
