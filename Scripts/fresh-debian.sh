# For scripts that try something in a fresh Debian; sourced by them. What is mounted is seen by the script alone, when it
# runs in a mount namespace of its own.
#
# In the environment: MIRROR, the Debian mirror, this machine's own unless given.

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# This machine's own release.
own_suite() { . /etc/os-release && echo "${VERSION_CODENAME:-sid}"; }

# The mirror from which this machine gets a release.
own_mirror() {
    apt-get indextargets --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite="$1" '$1 == "main" && $2 == suite && !mirror { mirror = $3 }
            END { print mirror ? mirror : "http://deb.debian.org/debian" }'
}

# make_debian SUITE: makes a Debian in the folder $root, with the devices, the name server and the certificate authorities
# of this machine.
make_debian() {
    local mirror log=$root/debootstrap.log node
    mirror=${MIRROR:-$(own_mirror "$1")}
    debootstrap --variant=minbase --include=ca-certificates "$1" "$root" "$mirror" >"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        fail debootstrap
    }
    rm "$log"
    mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
    for node in null zero full random urandom tty kvm; do
        [ -e "/dev/$node" ] || continue
        touch "$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,gid=5,mode=0620,ptmxmode=0666 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for node in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${node%:*}" "$root/dev/${node#*:}"; done

    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
        quietly update-ca-certificates
    fi
}

# Runs a program in the Debian, with the words VARIABLE=VALUE of the array $environment, and this machine's proxies.
inside() {
    local proxies
    readarray -t proxies < <(env | grep -iE '^(https?|ftp|all|no)_proxy=')
    # Not by chroot alone: in that, a program can't make namespaces of its own.
    unshare --mount --propagation private sh -c 'cd "$0" && pivot_root . mnt && umount -l /mnt && exec "$@"' "$root" \
        /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "${proxies[@]}" "${environment[@]}" "$@"
}

# Runs a program in the Debian, and says what it said only when it fails.
quietly() {
    inside "$@" >"$root/tmp/log" 2>&1 || {
        tail -n 30 "$root/tmp/log" >&2
        fail "$*"
    }
}
