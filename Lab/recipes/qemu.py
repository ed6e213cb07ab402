"""Stock QEMU as Debian builds it: the program, the libraries it loads and the firmware for x86 guests."""
import os
import pathlib
import shutil

from .cache import LAB, LabError, run

SUITE = "trixie-backports"
PACKAGES = ("qemu-system-x86", "qemu-system-data", "qemu-system-common", "seabios")
PROGRAM = "usr/bin/qemu-system-x86_64"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
MODULES = ("accel-*", "hw-display-*")
FIRMWARE = ("usr/share/qemu/*.bin", "usr/share/qemu/qboot.rom", "usr/share/qemu/efi-virtio.rom", "usr/share/qemu/keymaps",
            "usr/share/qemu/trace-events-all", "usr/share/seabios/*")


def prepare(cache, debian):
    """The component `qemu` and the command `bin/qemu-system-x86_64`."""
    def build(folder):
        cache.say(f"fetching QEMU of {SUITE} (40 MB)")
        with cache.scratch() as tree:
            debian.unpack(tree, *(f"{package}/{SUITE}" for package in PACKAGES), dependencies=True)
            _prune(tree, folder)
        version = run(folder / LOADER, "--library-path", folder / LIBRARIES, folder / PROGRAM, "--version",
                      way_out="is this an x86-64 machine? The lab needs one").decode().split("\n")[0]
        cache.say(version)
        (folder / "version").write_text(version.split()[3] + "\n")

    here = pathlib.Path(__file__)
    folder, _ = cache.component("qemu", [here, LAB / "recipes/debian.py"], build)
    data = (folder / "usr/share/qemu", folder / "usr/share/seabios")

    def wrap(target):
        program = target / "qemu-system-x86_64"
        program.write_text(
            "#!/bin/sh\n"
            "# QEMU by its own loader and with its own libraries; the process id is QEMU's.\n"
            f"export QEMU_MODULE_DIR={folder}/{LIBRARIES}/qemu\n"
            f"exec {folder}/{LOADER} --library-path {folder}/{LIBRARIES} {folder}/{PROGRAM} -L {data[0]} -L {data[1]} \"$@\"\n")
        program.chmod(0o755)

    commands, _ = cache.component("bin", [here, str(folder)], wrap)
    return {"QEMU": commands / "qemu-system-x86_64", "QEMU_VERSION": (folder / "version").read_text().strip(),
            "QEMU_DATA": data[0], "SEABIOS": data[1], "VGABIOS_BOCHS": data[1] / "vgabios-bochs-display.bin"}


def _prune(tree, folder):
    """Copies from the unpacked packages what an x86 guest needs, and the libraries in the closure of that."""
    modules = [path for pattern in MODULES for path in (tree / LIBRARIES / "qemu").glob(f"{pattern}.so")]
    wanted = {tree / PROGRAM, *modules}
    for program in sorted(wanted):
        for line in run(tree / LOADER, "--library-path", tree / LIBRARIES, "--list", program,
                        way_out="is this an x86-64 machine? The lab needs one").decode().splitlines():
            words = line.split()
            if "not found" in line:
                raise LabError(f"QEMU needs {words[0]}, which its packages did not bring; name one more in Lab/recipes/qemu.py")
            if len(words) > 2 and words[2].startswith(str(tree)):
                wanted.add(pathlib.Path(words[2]))
    for pattern in FIRMWARE:
        wanted.update(tree.glob(pattern))
    for path in wanted:
        target = folder / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy(path, target)                              # follows links: one file under the name it is asked for
    (folder / LOADER).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.realpath(tree / LOADER), folder / LOADER)
