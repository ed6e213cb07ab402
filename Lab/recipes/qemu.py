"""Stock QEMU as Debian builds it: the program, the libraries it loads and the firmware for x86 guests."""
import pathlib

from . import programs
from .cache import LAB, run

SUITE = "trixie-backports"
PACKAGES = ("qemu-system-x86", "qemu-system-data", "qemu-system-common", "seabios")
PROGRAM = "usr/bin/qemu-system-x86_64"
MODULES = ("accel-*", "hw-display-*")
FIRMWARE = ("usr/share/qemu/*.bin", "usr/share/qemu/qboot.rom", "usr/share/qemu/efi-virtio.rom", "usr/share/qemu/keymaps",
            "usr/share/qemu/trace-events-all", "usr/share/seabios/*")


def prepare(cache, debian):
    """The component `qemu` and the command `bin/qemu-system-x86_64`."""
    def build(folder):
        cache.say(f"fetching QEMU of {SUITE} (40 MB)")
        with cache.scratch() as tree:
            debian.unpack(tree, *(f"{package}/{SUITE}" for package in PACKAGES), dependencies=True)
            modules = [path for pattern in MODULES for path in (tree / programs.LIBRARIES / "qemu").glob(f"{pattern}.so")]
            firmware = [path for pattern in FIRMWARE for path in tree.glob(pattern)]
            programs.copy(tree, folder, [tree / PROGRAM, *modules], firmware)
        version = run(*programs.command(folder, PROGRAM), "--version", way_out=programs.WAY_OUT).decode().split("\n")[0]
        cache.say(version)
        (folder / "version").write_text(version.split()[3] + "\n")

    here = pathlib.Path(__file__)
    folder, _ = cache.component("qemu", [here, LAB / "recipes/programs.py", LAB / "recipes/debian.py"], build)
    data = (folder / "usr/share/qemu", folder / "usr/share/seabios")

    def wrap(target):
        program = target / "qemu-system-x86_64"
        words = " ".join(str(word) for word in programs.command(folder, PROGRAM))
        program.write_text(
            "#!/bin/sh\n"
            "# QEMU by its own loader and with its own libraries; the process id is QEMU's.\n"
            f"export QEMU_MODULE_DIR={folder}/{programs.LIBRARIES}/qemu\n"
            f"exec {words} -L {data[0]} -L {data[1]} \"$@\"\n")
        program.chmod(0o755)

    commands, _ = cache.component("bin", [here, str(folder)], wrap)
    return {"QEMU": commands / "qemu-system-x86_64", "QEMU_VERSION": (folder / "version").read_text().strip(),
            "QEMU_DATA": data[0], "SEABIOS": data[1], "VGABIOS_BOCHS": data[1] / "vgabios-bochs-display.bin"}
