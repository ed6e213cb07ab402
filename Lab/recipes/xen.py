"""Xen as Debian builds it: the hypervisor alone. Its domain 0 is a guest of the lab's, with its kernel."""
import gzip
import pathlib

from .cache import LAB

PACKAGE = "xen-hypervisor-4.17-amd64/bookworm"


def prepare(cache, debian):
    """The component `xen`: the hypervisor, unpacked, as QEMU's multiboot loader takes it."""
    def build(folder):
        cache.say(f"fetching {PACKAGE} (2 MB)")
        with cache.scratch() as tree:
            debian.unpack(tree, PACKAGE)
            (folder / "xen-4.17").write_bytes(gzip.decompress(next(tree.glob("boot/xen-4.17-amd64.gz")).read_bytes()))

    folder, _ = cache.component("xen", [pathlib.Path(__file__), LAB / "recipes/debian.py"], build)
    return {"XEN_4_17": folder / "xen-4.17"}
