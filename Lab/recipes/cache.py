"""The cache folder: components which appear complete or not at all."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

LAB = pathlib.Path(__file__).resolve().parent.parent


class LabError(Exception):
    """A sentence for the person at the terminal: what failed, and the way out."""


class Cache:
    """One folder, used by one setup at a time. A component is a folder in it with a stamp of the recipe it was made by."""

    def __init__(self, root):
        self.root = root
        self.started = time.monotonic()

    @classmethod
    @contextlib.contextmanager
    def open(cls):
        """The cache of this user, locked until the end."""
        fallback = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        root = pathlib.Path(os.environ.get("MEDIATED_CACHE") or pathlib.Path(fallback) / "mediated").absolute()
        if any(c.isspace() for c in str(root)):
            raise LabError(f"the cache folder '{root}' has a space in its name; set MEDIATED_CACHE to one without")
        if LAB.parent in (root, *root.parents):
            raise LabError(f"the cache folder '{root}' is inside the checkout; set MEDIATED_CACHE to one outside it")
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = open(root / ".lock", "w")
        except OSError as error:
            raise LabError(f"cannot write to the cache: {error}; set MEDIATED_CACHE to a folder you can write to") from error
        with lock:
            cache = cls(root)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                cache.say("another setup is at work on this cache; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for leftover in root.glob(".new-*"):
                shutil.rmtree(leftover)
            yield cache

    def say(self, text):
        """A line of progress, with the seconds since the start."""
        print(f"[{time.monotonic() - self.started:4.0f} s] {text}", flush=True)

    def component(self, name, recipe, build):
        """The folder `name`, made by `build(folder)` unless it is there already, made by the same `recipe`.

        `recipe` lists what the result depends on: paths, whose contents count, and strings. Returns the folder and its
        stamp, which may be part of another component's recipe.
        """
        digest = hashlib.sha256()
        for part in recipe:
            data = part.read_bytes() if isinstance(part, pathlib.Path) else part.encode()
            digest.update(b"%d\n%s" % (len(data), data))
        stamp = digest.hexdigest()
        folder = self.root / name
        with contextlib.suppress(OSError):
            if (folder / ".recipe").read_text() == stamp:
                return folder, stamp
        with self.scratch() as scratch:
            (scratch / "new").mkdir()
            build(scratch / "new")
            (scratch / "new/.recipe").write_text(stamp)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                folder.rename(scratch / "old")
            (scratch / "new").rename(folder)
        return folder, stamp

    @contextlib.contextmanager
    def scratch(self):
        """A temporary folder in the cache's own file system, so that a rename out of it is atomic."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write(self, name, text):
        """The file `name`, replaced as a whole."""
        with self.scratch() as scratch:
            (scratch / "new").write_text(text)
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / "new").rename(self.root / name)


def run(*command, way_out, **options):
    """Runs a command and returns its output. When it fails, its last lines and the way out become the error."""
    try:
        result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    except FileNotFoundError as error:
        raise LabError(f"'{command[0]}' is missing; install the packages of packages.txt") from error
    if result.returncode != 0:
        for line in result.stderr.decode(errors="replace").strip().splitlines()[-8:]:
            print(f"    {line}", file=sys.stderr)
        raise LabError(f"'{command[0]}' failed; {way_out}")
    return result.stdout
