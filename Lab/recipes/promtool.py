"""promtool, which checks pages of metrics: the one program of Debian's prometheus package that tests need."""
import pathlib

from .cache import LAB, run

SUITE = "bookworm"


def prepare(cache, debian):
    """The component `promtool`: a program that needs the host's C library and nothing else."""
    def build(folder):
        cache.say("fetching promtool")
        program = folder / "promtool"
        with cache.scratch() as tree:
            debian.unpack(tree, f"prometheus/{SUITE}")
            program.write_bytes((tree / "usr/bin/promtool").read_bytes())
        program.chmod(0o755)
        run(program, "--version", way_out="is this an x86-64 machine? The lab needs one")

    folder, _ = cache.component("promtool", [pathlib.Path(__file__), LAB / "recipes/debian.py"], build)
    return {"PROMTOOL": folder / "promtool"}
