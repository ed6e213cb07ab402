"""schemathesis, which checks the daemon against its OpenAPI description: from PyPI, in an environment of its own."""
import os
import pathlib
import sys

from .cache import run

REQUIREMENTS = pathlib.Path(__file__).with_suffix(".txt")


def prepare(cache):
    """The component `schemathesis`: a virtual environment."""
    def build(folder):
        cache.say("fetching schemathesis")
        # The Python itself: the environment needs it when `python3` has become another version, too.
        run(os.path.realpath(sys.executable), "-m", "venv", folder, way_out="install python3-venv")
        run(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS,
            way_out="is PyPI within reach?")

    folder, _ = cache.component("schemathesis", [pathlib.Path(__file__), REQUIREMENTS], build)
    # Not by its own script, whose first line names the folder it was made in.
    return {"SCHEMATHESIS_PYTHON": folder / "bin/python"}
