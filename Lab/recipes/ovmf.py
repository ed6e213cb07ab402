"""OVMF: UEFI for x86 guests, as Debian builds it."""
import pathlib
import shutil

from .cache import LAB

PACKAGE = "ovmf/trixie"
FILES = ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")


def prepare(cache, debian):
    """The component `ovmf`: the firmware, and the variables that a new machine begins with."""
    def build(folder):
        cache.say(f"fetching {PACKAGE} (6 MB)")
        with cache.scratch() as tree:
            debian.unpack(tree, PACKAGE)
            for name in FILES:
                shutil.copy(tree / "usr/share/OVMF" / name, folder)

    folder, _ = cache.component("ovmf", [pathlib.Path(__file__), LAB / "recipes/debian.py"], build)
    return {"OVMF_CODE": folder / FILES[0], "OVMF_VARS": folder / FILES[1]}
