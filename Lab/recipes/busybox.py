"""The userland of the guests: busybox, as Debian links it statically."""
import pathlib

from .cache import LAB

SUITE = "bookworm"


def prepare(cache, debian):
    """The component `guests/busybox`: a static userland, and its stamp."""
    def build(folder):
        cache.say("fetching busybox")
        with cache.scratch() as tree:
            debian.unpack(tree, f"busybox-static/{SUITE}")
            program = next(path for path in (tree / "bin/busybox", tree / "usr/bin/busybox") if path.exists())
            (folder / "busybox").write_bytes(program.read_bytes())
            (folder / "busybox").chmod(0o755)

    return cache.component("guests/busybox", [pathlib.Path(__file__), LAB / "recipes/debian.py"], build)
