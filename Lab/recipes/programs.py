"""Programs out of unpacked Debian packages, which run by their own loader and with their own libraries."""
import os
import pathlib
import shutil

from .cache import LabError, run

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
WAY_OUT = "is this an x86-64 machine? The lab needs one"


def command(folder, program):
    """The words which run `program`, a path in `folder`."""
    return [folder / LOADER, "--library-path", folder / LIBRARIES, folder / program]


def copy(tree, folder, programs, files=()):
    """Copies programs from the tree of packages to `folder`, with the libraries in the closure of them, and more files.

    A file is one under the name it is asked for, links followed; a folder comes whole.
    """
    wanted = {*programs, *files}
    for program in sorted(programs):
        listing = run(tree / LOADER, "--library-path", tree / LIBRARIES, "--list", program, way_out=WAY_OUT).decode()
        for line in listing.splitlines():
            words = line.split()
            if "not found" in line:
                raise LabError(f"{program.name} needs {words[0]}, which its packages did not bring; name one more in its recipe")
            if len(words) > 2 and words[2].startswith(str(tree)):
                wanted.add(pathlib.Path(words[2]))
    for path in wanted:
        target = folder / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy(path, target)
    (folder / LOADER).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.realpath(tree / LOADER), folder / LOADER)
