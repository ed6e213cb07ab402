"""Stock libvirt as Debian builds it: libvirtd with the QEMU driver, in a root folder of its own, and virsh."""
import pathlib

from . import programs
from .cache import LAB, run

SUITE = "trixie"
# What virsh and the library need comes along; of the daemon's packages only what is named, for they want all of systemd.
CLIENT = ("libvirt0", "libvirt-clients")
DAEMON = ("libvirt-daemon", "libvirt-daemon-driver-qemu")
PROGRAMS = ("usr/sbin/libvirtd", "usr/bin/virsh", f"{programs.LIBRARIES}/libvirt/connection-driver/libvirt_driver_qemu.so")
DATA = ("usr/share/libvirt/cpu_map", "usr/share/libvirt/schemas")


def prepare(cache, debian, busybox):
    """The component `libvirt`, with the commands `libvirtd` and `virsh` in it."""
    def build(folder):
        cache.say(f"fetching libvirt of {SUITE} (20 MB)")
        with cache.scratch() as tree:
            debian.unpack(tree, *(f"{package}/{SUITE}" for package in CLIENT), dependencies=True)
            debian.unpack(tree, *(f"{package}/{SUITE}" for package in DAEMON))
            programs.copy(tree, folder, [tree / program for program in PROGRAMS], [tree / path for path in DATA])
        # The daemon's root has no other shell; QEMU's command is a script.
        (folder / "usr/bin/sh").write_bytes((busybox[0] / "busybox").read_bytes())
        (folder / "usr/bin/sh").chmod(0o755)
        for name, text in (("libvirtd", LIBVIRTD), ("virsh", VIRSH)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        version = run(*programs.command(folder, "usr/bin/virsh"), "--version", way_out=programs.WAY_OUT).decode().strip()
        (folder / "version").write_text(version + "\n")

    recipe = [pathlib.Path(__file__), LAB / "recipes/programs.py", LAB / "recipes/debian.py", busybox[1]]
    folder, _ = cache.component("libvirt", recipe, build)
    return {"LIBVIRTD": folder / "libvirtd", "VIRSH": folder / "virsh",
            "LIBVIRT_VERSION": (folder / "version").read_text().strip()}


LIBVIRTD = r"""#!/bin/bash
# Runs libvirtd in a root folder of its own, until Ctrl-C or SIGKILL (SIGTERM does nothing); its guests end with it.
#
# usage: libvirtd FOLDER
#
# FOLDER is made, or was made by this command. libvirtd has its configuration, state and logs below it and sees nothing of
# the host but /dev, /sys, /tmp and the lab's cache, at the same paths; its socket is FOLDER/run/libvirt/libvirt-sock. It
# wants root, but no systemd: mounts and processes are in namespaces of their own.
set -euo pipefail

[ $# = 1 ] && [ "${1:0:1}" = / ] || { echo "usage: libvirtd FOLDER, an absolute path" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "libvirtd: only root can run this" >&2; exit 1; }
export root=$1 tree=$(dirname "$(realpath "$0")")
export cache=$(dirname "$tree")
mkdir -p "$root"/{usr,etc/libvirt,proc,dev,sys,tmp,run,var/{lib,log,cache,tmp}} "$root$cache"
for name in bin sbin lib lib64; do ln -sfn usr/$name "$root/$name"; done
printf '%s\n' root:x:0:0::/:/bin/sh libvirt-qemu:x:64055:64055::/:/bin/sh >"$root/etc/passwd"
printf '%s\n' root:x:0: libvirt-qemu:x:64055: >"$root/etc/group"
printf '%s\n' 'auth_unix_rw = "none"' 'unix_sock_rw_perms = "0700"' >"$root/etc/libvirt/libvirtd.conf"
# Nothing here separates guests from each other, or from root: it is a lab.
printf '%s\n' 'user = "root"' 'group = "root"' 'dynamic_ownership = 0' 'security_driver = "none"' \
    'cgroup_controllers = []' 'namespaces = []' 'stdio_handler = "file"' >"$root/etc/libvirt/qemu.conf"
exec unshare --mount --propagation private --pid --fork --kill-child /bin/bash -euc '
    mount --bind "$tree/usr" "$root/usr"
    mount --bind "$cache" "$root$cache"
    mount --bind /tmp "$root/tmp"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t proc proc "$root/proc"
    env -i LC_ALL=C PATH=/usr/sbin:/usr/bin chroot "$root" /usr/sbin/libvirtd
    exit # The shell must stay: it reaps the guests, which have become its children.'
"""

VIRSH = r"""#!/bin/sh
# virsh by its own loader and with its own libraries.
#
# usage: virsh -c 'qemu+unix:///system?socket=FOLDER/run/libvirt/libvirt-sock' COMMAND
tree=$(dirname "$(realpath "$0")")
exec "$tree/usr/lib64/ld-linux-x86-64.so.2" --library-path "$tree/usr/lib/x86_64-linux-gnu" "$tree/usr/bin/virsh" "$@"
"""
