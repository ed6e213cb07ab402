"""Xen as Debian builds it: the hypervisors, whose domain 0 is a guest of the lab's with its kernel; and the tools of one."""
import gzip
import pathlib

from . import programs
from .cache import LAB, run

# Each version's suite.
VERSIONS = {"4.17": "bookworm", "4.20": "trixie"}
# The one of which there are tools.
TOOLS = "4.20"
PACKAGES = ("xenstore-utils", "qemu-system-xen", "seabios")
# Beside xl, and what saves for it: what keeps the store, the consoles of domains, what a started domain 0 tells the
# store, and what reads that and waits for it.
PROGRAMS = ("xl", "libxl-save-helper", "xenstored", "xenconsoled", "xen-init-dom0")
OTHERS = ("usr/libexec/xen-qemu-system-i386", "usr/bin/xenstore-read", "usr/bin/xenstore-watch")
FIRMWARE = ("usr/share/seabios/bios-256k.bin", "usr/share/seabios/vgabios-stdvga.bin", "usr/share/qemu/kvmvapic.bin",
            "usr/share/qemu/linuxboot_dma.bin", "usr/share/qemu/keymaps")


def prepare(cache, debian):
    """The components `xen/VERSION`: the hypervisor, unpacked, as QEMU's multiboot loader takes it."""
    paths = {}
    for version, suite in VERSIONS.items():
        def build(folder):
            package = f"xen-hypervisor-{version}-amd64"
            cache.say(f"fetching {package} of {suite} (4 MB)")
            with cache.scratch() as tree:
                debian.unpack(tree, f"{package}/{suite}")
                image = tree / f"boot/xen-{version}-amd64.gz"
                (folder / "xen").write_bytes(gzip.decompress(image.read_bytes()))

        folder, _ = cache.component(f"xen/{version}", _recipe(version), build)
        paths[_key(version)] = folder / "xen"
    return paths


def has_tools(cache):
    """Whether somebody has asked for the tools before."""
    return (cache.root / f"xen/{TOOLS}-tools").is_dir()


def prepare_tools(cache, debian):
    """The component `xen/VERSION-tools`: what a domain 0 needs to have Debian's own domains, as a tree of its files."""
    suite = VERSIONS[TOOLS]

    def build(folder):
        cache.say(f"fetching xl and QEMU for Xen {TOOLS} of {suite} (90 MB)")
        with cache.scratch() as tree:
            # All from that suite: the libraries of two Xens don't go together.
            debian.unpack(tree, f"--target-release={suite}", f"xen-utils-{TOOLS}", *PACKAGES, dependencies=True)
            _merge(tree)
            own = f"usr/lib/xen-{TOOLS}"
            programs.copy(tree, folder, [*(tree / own / "bin" / name for name in PROGRAMS), *(tree / path for path in OTHERS)],
                          [tree / own / "boot/hvmloader", *(tree / path for path in FIRMWARE)])

    folder, _ = cache.component(f"xen/{TOOLS}-tools", _recipe(TOOLS), build)
    return {_key(TOOLS) + "_TOOLS": folder}


def _merge(tree):
    """Puts what packages have in /lib and /lib64 below /usr, where the others' is."""
    for name in ("lib", "lib64"):
        if (tree / name).is_dir():
            (tree / "usr" / name).mkdir(exist_ok=True)
            run("cp", "-a", f"{tree / name}/.", tree / "usr" / name, way_out="is the disk full?")
    loader = tree / programs.LOADER
    if loader.is_symlink():
        loader.unlink()
        loader.symlink_to(tree / programs.LIBRARIES / loader.name)


def _key(version):
    return "XEN_" + version.replace(".", "_")


def _recipe(version):
    return [pathlib.Path(__file__), LAB / "recipes/programs.py", LAB / "recipes/debian.py", version]
