"""Debian packages, fetched and unpacked without touching the host's own: a private apt, no maintainer scripts, no root."""
import contextlib
import os
import pathlib
import shutil
import subprocess

from .cache import LabError, run

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITES = ("bookworm", "trixie", "trixie-backports")
WAY_OUT = "check the network, then run Lab/setup again, or name a full Debian mirror in MEDIATED_MIRROR"


class Debian:
    """A package source which wakes up on its first use: when nothing is missing from the cache, nothing is fetched."""

    def __init__(self, cache):
        self.cache = cache
        self.stack = contextlib.ExitStack()
        self.home = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stack.close()

    def unpack(self, folder, *packages, dependencies=False):
        """Unpacks `name/suite` packages into `folder`, on request with all they depend on. Returns the fetched files."""
        self._wake()
        with self.cache.scratch() as downloads:
            if dependencies:
                archives = f"-oDir::Cache::archives={downloads}"
                (downloads / "partial").mkdir()
                self._apt(archives, "-y", "--download-only", "--no-install-recommends", "install", *packages)
            else:
                self._apt("download", *packages, cwd=downloads)
            files = sorted(downloads.glob("*.deb"))
            for file in files:
                run("dpkg-deb", "-x", file, folder, way_out="is the disk full? Lab/README.md says how much is needed")
            return [file.name for file in files]

    def depends(self, package):
        """The names which a `name/suite` package depends on: how a metapackage names the real one."""
        self._wake()
        with self.cache.scratch() as downloads:
            self._apt("download", package, cwd=downloads)
            field = run("dpkg-deb", "-f", *downloads.glob("*.deb"), "Depends", way_out=WAY_OUT).decode()
        return [alternative.split()[0] for alternative in field.split(",")]

    def _wake(self):
        """Gives the private apt its folders and the package lists."""
        if self.home:
            return
        mirror = self._mirror()
        if not KEYRING.exists():
            raise LabError(f"{KEYRING} is missing; install the package debian-archive-keyring")
        home = self.stack.enter_context(self.cache.scratch())
        (home / "state/lists/partial").mkdir(parents=True)
        (home / "cache/archives/partial").mkdir(parents=True)
        (home / "status").touch()
        (home / "sources.list").write_text(
            "".join(f"deb [arch=amd64 signed-by={KEYRING}] {mirror} {suite} main\n" for suite in SUITES))
        (home / "apt.conf").write_text(
            'Dir::Etc::parts "/dev/null"; Dir::Etc::main "/dev/null"; Dir::Etc::sourceparts "/dev/null";\n'
            'Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";\n'
            f'Dir::Etc::sourcelist "{home}/sources.list"; Dir::State "{home}/state"; Dir::Cache "{home}/cache";\n'
            f'Dir::State::status "{home}/status"; APT::Sandbox::User ""; APT::Architecture "amd64";\n'
            'Acquire::Languages "none"; Acquire::Retries "3";\n' + self._transport())
        self.home = home
        self.cache.say(f"reading the package lists of {', '.join(SUITES)}")
        self._apt("-oAPT::Update::Error-Mode=any", "update")

    def _apt(self, *arguments, **options):
        environment = dict(os.environ, APT_CONFIG=str(self.home / "apt.conf"), LC_ALL="C")
        return run("apt-get", "-q", *arguments, way_out=WAY_OUT, env=environment, stdin=subprocess.DEVNULL, **options)

    @staticmethod
    def _mirror():
        """The mirror which the host itself uses for Debian's main archive, whichever way its sources are written."""
        if mirror := os.environ.get("MEDIATED_MIRROR"):
            return mirror
        if not shutil.which("apt-get"):
            raise LabError("there is no apt-get here; the lab needs a Debian host")
        codename = "".join(line.split("=")[1].strip('"') for line in pathlib.Path("/etc/os-release").read_text().splitlines()
                           if line.startswith("VERSION_CODENAME="))
        listing = run("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages",
                      way_out="'apt-get update' tells what is wrong with the host's own sources").decode()
        for release, component, uri in (line.split() for line in listing.splitlines() if line.count(" ") == 2):
            if component == "main" and release in (codename, "stable", "oldstable", "testing", "unstable"):
                return uri
        raise LabError("the host's apt sources name no Debian mirror; name one in MEDIATED_MIRROR, as sources.list would")

    @staticmethod
    def _transport():
        """How the host reaches its mirrors: its own proxy and HTTP settings."""
        dump = run("apt-config", "dump", way_out="the host's apt configuration cannot be read").decode()
        wanted = ("acquire::http::", "acquire::https::", "acquire::proxy-auto-detect")
        return "".join(f"{line}\n" for line in dump.splitlines() if line.lower().startswith(wanted))
