"""Debian packages, fetched and unpacked into the cache: nothing is installed on the machine. Runs apt and dpkg-deb.

No maintainer script runs, so what a script would have made (a link of update-alternatives, a user) is made by whoever
asks for the packages. What is fetched is what this machine's apt offers and has verified.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from vdibench.errors import LabError
from vdibench.store.caches import cache_root, entry, entry_name

__all__ = ["Package", "node_packages", "offered", "unpacked", "with_dependencies"]

_RELEASE = "bookworm"
_LAST_LINES = 3
_ERROR = re.compile(r"^E: (.*)$", re.MULTILINE)
# 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE DIGEST
_OFFER = re.compile(r"^'\S+' (?P<name>[^_\s]+)_(?P<version>[^_\s]+)_[^_\s]+\.deb \d+ ", re.MULTILINE)
_MERGED = ("bin", "sbin", "lib", "lib64")
_UNWANTED = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/info/*", "./usr/share/locale/*")

# What a node runs, and the libraries that a Debian without them lacks; libc and what is essential are the machine's.
_NODE = (
    "containerd",
    "runc",
    "containernetworking-plugins",
    "busybox-static",
    "iptables",
    "nftables",
    "ipset",
    "conntrack",
    "libseccomp2",
    "libip4tc2",
    "libip6tc2",
    "libxtables12",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libipset13",
    "libnftables1",
    "libjansson4",
    "libedit2",
    "libbsd0",
    "libmd0",
    "libgmp10",
)
_IPTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


@dataclass(frozen=True, slots=True)
class Package:
    """One package at one version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}={self.version}"


def offered(names: Iterable[str]) -> tuple[Package, ...]:
    """These packages at the versions that apt would fetch.

    :raises LabError: this is no Debian 12, or apt does not know one of them.
    """
    return _asked("download", "--print-uris", *names)


def with_dependencies(names: Iterable[str], left_out: Iterable[str] = ()) -> tuple[Package, ...]:
    """These packages and all that they depend on, as for a machine that has none of it.

    :param left_out: not these, whoever depends on them.
    :raises LabError: this is no Debian 12, or apt does not know one of them.
    """
    unwanted = set(left_out)
    with tempfile.NamedTemporaryFile(prefix="vdibench-dpkg-") as nothing_installed:
        options = ["-o", "APT::Install-Recommends=false", "--yes", "--print-uris"]
        found = _asked("install", *options, *names, status=nothing_installed.name)
    return tuple(package for package in found if package.name not in unwanted)


def unpacked(
    kind: str,
    packages: Iterable[Package],
    say: Callable[[str], None] = lambda line: None,
    finish: Callable[[Path], None] = lambda root: None,
    recipe: Iterable[str | bytes] = (),
) -> Path:
    """A root folder with the files of these packages, without documentation and translations; fetched now if need be.

    :param kind: what it is for; the first part of the cache entry's name.
    :param finish: called with the new root, for what the packages alone do not bring.
    :param recipe: what ``finish`` depends on besides the packages.
    :raises LabError: a package cannot be fetched.
    :raises StoreError: the cache cannot be written.
    """
    wanted = tuple(sorted(packages, key=str))

    def make(root: Path) -> None:
        say(f"fetching {len(wanted)} Debian packages for {kind}")
        with tempfile.TemporaryDirectory(prefix="vdibench-debs-") as place:
            # The user that apt would change to cannot write there.
            command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *map(str, wanted)]
            done = _run(command, place)
            if done.returncode:
                raise LabError(
                    f"cannot fetch Debian packages: {_reason(done)}",
                    "check the network, and run 'apt-get update' when the lists are old",
                )
            _unpack(sorted(Path(place).glob("*.deb")), root)
        finish(root)

    return entry(cache_root() / "cluster", entry_name(kind, [*map(str, wanted), *recipe]), make)


def node_packages(say: Callable[[str], None] = lambda line: None) -> Path:
    """A node's own programs: containerd, runc, CNI plugins, nft, iptables, ipset, conntrack, busybox.

    Everything is below its ``usr``, to be laid over the machine's ``/usr`` in a mount namespace.

    :raises LabError: they cannot be fetched.
    """
    return unpacked("node", offered(_NODE), say, _link_iptables, recipe=_IPTABLES)


def _link_iptables(root: Path) -> None:
    """As update-alternatives would."""
    for name in _IPTABLES:
        link = root / "usr" / "sbin" / name
        link.unlink(missing_ok=True)
        link.symlink_to("xtables-nft-multi")


def _asked(*arguments: str, status: str = "") -> tuple[Package, ...]:
    """What apt would fetch; asked once as long as its configuration and its lists are the same.

    :param status: the file to take for the list of what is installed.
    """
    _must_be_debian()
    configuration = _run(["apt-config", "dump"]).stdout
    lists = Path(_run(["apt-config", "shell", "place", "Dir::State::lists/d"]).stdout.partition("'")[2].strip("'\n"))
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(lists.glob("*_Packages*"))]

    def ask(folder: Path) -> None:
        options = ["-o", f"Dir::State::status={status}"] if status else []
        done = _run(["apt-get", "-qq", *options, *arguments])
        if done.returncode or not _OFFER.search(done.stdout):
            raise LabError(
                f"apt does not offer what the cluster lab needs: {_reason(done)}", "run 'apt-get update' as root once"
            )
        (folder / "answer").write_text(done.stdout)

    kept = entry(cache_root() / "cluster", entry_name("apt", (*arguments, configuration, repr(files))), ask)
    found = _OFFER.finditer((kept / "answer").read_text())
    return tuple(Package(match["name"], unquote(match["version"])) for match in found)


def _must_be_debian() -> None:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    is_debian = release.get("ID") == "debian" and release.get("VERSION_CODENAME") == _RELEASE
    missing = [name for name in ("apt-get", "dpkg-deb", "tar") if shutil.which(name) is None]
    if not is_debian or missing or platform.machine() != "x86_64":
        named = release.get("PRETTY_NAME", platform.system())
        lacking = f" without {', '.join(missing)}" if missing else ""
        raise LabError(
            f"the cluster lab's images are made from packages of Debian 12 (x86-64), and this is {named}{lacking}",
            "use a Debian 12 machine or container",
        )


def _unpack(archives: Iterable[Path], root: Path) -> None:
    # In Debian 12 these are links, which no package brings.
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    root.chmod(0o755)
    exclude = [f"--exclude={pattern}" for pattern in _UNWANTED]
    # dpkg-deb --extract would put folders in the place of those links.
    extract = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", *exclude, "--directory", str(root)]
    for archive in archives:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as files:
            done = subprocess.run(extract, stdin=files.stdout, capture_output=True, text=True, check=False)
        if done.returncode or files.returncode:
            raise LabError(
                f"cannot unpack {archive.name}: {done.stderr.strip() or 'dpkg-deb failed'}", "check the free space"
            )


def _run(command: list[str], place: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C"}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    said = _ERROR.findall(done.stderr) or done.stderr.split("\n")
    return " / ".join([line.strip() for line in said if line.strip()][:_LAST_LINES]) or f"exit {done.returncode}"
