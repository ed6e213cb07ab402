"""The guest images: busybox, our own tools and one kernel's modules, packed into an initramfs."""
import pathlib

from .cache import LAB, run

GUEST = LAB / "guest"
# quiet, loglevel: nothing but the agent speaks on the console. panic: reboot at once, which -no-reboot turns into an end.
# iomem: pcimem may map a BAR whose driver is bound. 8250: room for serial cards, of four ports by default.
APPEND = "console=ttyS0 quiet loglevel=0 panic=-1 iomem=relaxed 8250.nr_uarts=16"


def prepare_tools(cache):
    """The component `guests/tools`: every C file of Lab/guest as a static program, and its stamp."""
    sources = sorted(GUEST.glob("*.c"))

    def build(folder):
        cache.say(f"building the guest tools: {', '.join(source.stem for source in sources)}")
        for source in sources:
            run("gcc", "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", folder / source.stem, source,
                way_out=f"correct {source.relative_to(LAB.parent)}, or install the packages of packages.txt")

    return cache.component("guests/tools", [pathlib.Path(__file__), *sources], build)


def prepare_image(cache, release, busybox, tools):
    """The component `guests/RELEASE`: initrd.img, for the kernel of the same release."""
    kernel = cache.root / "kernels" / release
    scripts = sorted(path for path in GUEST.iterdir() if not path.suffix)

    def build(folder):
        cache.say(f"packing the guest image ({release})")
        image = Archive()
        for name in ("bin", "dev", "proc", "sys", "run", "tmp", "etc", "root", "lib", "lib/modules"):
            image.folder(name)
        image.file("bin/busybox", (busybox[0] / "busybox").read_bytes(), 0o755)
        own = {source.stem for source in GUEST.glob("*.c")}
        for applet in run(busybox[0] / "busybox", "--list", way_out="is this an x86-64 machine?").decode().split():
            if applet != "busybox" and applet not in own:
                image.link(f"bin/{applet}", "busybox")
        for name in sorted(own):
            image.file(f"bin/{name}", (tools[0] / name).read_bytes(), 0o755)
        for script in scripts:
            image.file("init" if script.name == "init" else f"bin/{script.name}", script.read_bytes(), 0o755)
        version = (kernel / "version").read_text().strip()
        image.folder(f"lib/modules/{version}")
        for path in sorted((kernel / "modules").iterdir()):
            image.file(f"lib/modules/{version}/{path.name}", path.read_bytes(), 0o644)
        for name in ("sbin", "usr"):
            image.link(name, "bin" if name == "sbin" else ".")
        image.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n", 0o644)
        (folder / "initrd.img").write_bytes(image.bytes())

    recipe = [pathlib.Path(__file__), *scripts, busybox[1], tools[1], (kernel / ".recipe").read_text(),
              (kernel / "version").read_text()]
    folder, _ = cache.component(f"guests/{release}", recipe, build)
    return {f"INITRD_{release.replace('.', '_')}": folder / "initrd.img", "APPEND": APPEND}


class Archive:
    """A cpio archive in the newc format, as the kernel unpacks it. Owned by root, dated 1970, so that equal input is equal
    output. Documentation/driver-api/early-userspace/buffer-format.rst."""

    def __init__(self):
        self.parts = []
        self.entries = 0

    def folder(self, name):
        self._add(name, 0o040755, b"")

    def link(self, name, target):
        self._add(name, 0o120777, target.encode())

    def file(self, name, data, mode):
        self._add(name, 0o100000 | mode, data)

    def bytes(self):
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self.parts)

    def _add(self, name, mode, data):
        self.entries += 1
        encoded = name.encode() + b"\0"
        #         inode         mode  uid gid links date size       device   rdev  name length   checksum
        fields = (self.entries, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self.parts += [_padded(header + encoded), _padded(data)]


def _padded(data):
    return data + b"\0" * (-len(data) % 4)
