"""A stock Debian kernel: bzImage, the vmlinux inside it for the quick boot through PVH, and the modules which guests want."""
import lzma
import pathlib
import struct

from .cache import LAB, LabError, run


def prepare(cache, debian, release, suite):
    """The component `kernels/RELEASE`: vmlinux, bzImage, config and modules/ with modules.dep and modules.alias."""
    def build(folder):
        package = next(name for name in debian.depends(f"linux-image-amd64/{suite}") if name.startswith("linux-image-"))
        cache.say(f"fetching {package} of {suite} (70 to 110 MB)")
        with cache.scratch() as tree:
            debian.unpack(tree, f"{package}/{suite}")
            cache.say(f"unpacking the kernel and its modules ({release})")
            version = package.removeprefix("linux-image-")
            image = (tree / f"boot/vmlinuz-{version}").read_bytes()
            (folder / "bzImage").write_bytes(image)
            (folder / "vmlinux").write_bytes(vmlinux(image))
            (folder / "config").write_bytes((tree / f"boot/config-{version}").read_bytes())
            (folder / "version").write_text(version + "\n")
            _collect_modules(next(tree.glob(f"**/modules/{version}")), folder / "modules")

    recipe = [pathlib.Path(__file__), LAB / "recipes/debian.py", LAB / "guest/modules.txt", suite]
    folder, _ = cache.component(f"kernels/{release}", recipe, build)
    key = release.replace(".", "_")
    return {f"KERNEL_{key}": folder / "vmlinux", f"KERNEL_VERSION_{key}": (folder / "version").read_text().strip(),
            f"BZIMAGE_{key}": folder / "bzImage", f"CONFIG_{key}": folder / "config"}


def vmlinux(image):
    """The ELF kernel inside a bzImage, found by the setup header: Documentation/arch/x86/boot.rst."""
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[(setup_sectors + 1) * 512 + offset:][:length - 4]   # the last four bytes are the size unpacked
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return run("zstd", "-dcq", input=payload, way_out="the kernel's package seems damaged; run Lab/setup again")
    raise LabError("the kernel is compressed in a way which Lab/recipes/kernel.py does not know; teach it")


def wanted_modules():
    """The names in Lab/guest/modules.txt, as the kernel spells them."""
    lines = (line.split("#")[0].strip() for line in (LAB / "guest/modules.txt").read_text().splitlines())
    return [name.replace("-", "_") for name in lines if name]


def _collect_modules(tree, folder):
    """Copies the wanted modules and what they depend on, uncompressed, with the two indexes which modprobe reads."""
    files = {}
    for path in tree.glob("kernel/**/*.ko*"):
        files[path.name.split(".")[0].replace("-", "_")] = path
    builtin = {pathlib.Path(line).stem.replace("-", "_") for line in (tree / "modules.builtin").read_text().splitlines()}
    loaded, queue = {}, wanted_modules()
    while queue:
        name = queue.pop(0)
        if name in loaded or name in builtin:
            continue
        if name not in files:
            raise LabError(f"this kernel has no module '{name}'; correct Lab/guest/modules.txt")
        data = files[name].read_bytes()
        if files[name].suffix == ".xz":
            data = lzma.decompress(data)
        information = module_information(data)
        depends = [other for value in information.get("depends", []) for other in value.split(",") if other]
        soft = [word.replace("-", "_") for value in information.get("softdep", [])
                for word in value.replace("pre:", "").split("post:")[0].split()]
        needed = [other.replace("-", "_") for other in depends] + [other for other in soft if other in files]
        loaded[name] = (data, [other for other in needed if other not in builtin], information.get("alias", []))
        queue += needed
    folder.mkdir()
    with open(folder / "modules.dep", "w") as dep, open(folder / "modules.alias", "w") as alias:
        for name, (data, _, aliases) in loaded.items():
            (folder / f"{name}.ko").write_bytes(data)
            dep.write(f"{name}.ko: {' '.join(f'{other}.ko' for other in _closure(name, loaded))}\n")
            alias.writelines(f"alias {pattern} {name}\n" for pattern in aliases)


def _closure(name, loaded):
    """All that `name` depends on, the nearest first: modprobe loads the list from its end."""
    order = []
    for direct in loaded[name][1]:
        for other in (direct, *_closure(direct, loaded)):
            if other in order:
                order.remove(other)
            order.append(other)
    return order


def module_information(data):
    """The .modinfo section of a module: `key=value` strings, by key. ELF64, little-endian."""
    section_table, = struct.unpack_from("<Q", data, 0x28)
    entry_size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", data, section_table + i * entry_size) for i in range(count)]
    names = sections[names_index][4]
    information = {}
    for name, _, _, _, offset, size in sections:
        if data[names + name:names + name + 9] == b".modinfo\0":
            for item in data[offset:offset + size].split(b"\0"):
                key, equals, value = item.decode(errors="replace").partition("=")
                if equals:
                    information.setdefault(key, []).append(value)
    return information
