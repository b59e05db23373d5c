"""Writes an OCI image of one layer as an archive, without a builder. File I/O; the same input gives the same bytes.

The archive is an `OCI image layout <https://github.com/opencontainers/image-spec>`_ in a tar, as
``ctr --namespace k8s.io images import`` and ``skopeo copy oci-archive:`` read it. The layer is not compressed: it is
imported on the machine that made it, where compression would cost time twice.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

__all__ = ["File", "Folder", "ImageConfig", "Link", "Member", "tree", "write_archive"]

_CONFIG = "application/vnd.oci.image.config.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# Without set-user-ID and set-group-ID: nothing in these images may gain rights. The sticky bit stays, for /tmp.
_MODE_BITS = 0o1777


@dataclass(frozen=True, slots=True)
class File:
    """A file of the layer.

    :param path: where it is in the image, absolute.
    :param content: its bytes, or the file that has them.
    """

    path: str
    content: bytes | Path
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the layer; those above a member need not be named."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link of the layer."""

    path: str
    target: str


Member = File | Folder | Link


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How a container of the image starts.

    :param user: as in ``uid:gid``; empty for root.
    :param ports: exposed ports, as in ``8080/tcp``.
    """

    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_directory: str = "/"
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def document(self, layer: str) -> dict[str, Any]:
        """The image's configuration.

        :param layer: digest of the uncompressed layer.
        """
        process: dict[str, Any] = {"Entrypoint": list(self.entrypoint), "WorkingDir": self.working_directory}
        if self.arguments:
            process["Cmd"] = list(self.arguments)
        if self.environment:
            process["Env"] = [f"{name}={value}" for name, value in sorted(self.environment.items())]
        if self.user:
            process["User"] = self.user
        if self.ports:
            process["ExposedPorts"] = {port: {} for port in sorted(self.ports)}
        if self.labels:
            process["Labels"] = dict(sorted(self.labels.items()))
        return {
            "architecture": "amd64",
            "os": "linux",
            "config": process,
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        }


def tree(root: Path, below: str = "/") -> Iterator[Member]:
    """Everything in a folder, as members owned by root; sockets, pipes and devices are passed over.

    :param below: where the folder's content goes in the image.
    """
    for folder, folders, files in os.walk(root):
        folders.sort()
        place = Path(below) / Path(folder).relative_to(root)
        for name in sorted([*folders, *files]):
            source, path = Path(folder) / name, str(place / name)
            mode = source.lstat().st_mode
            if stat.S_ISLNK(mode):
                yield Link(path, os.readlink(source))  # noqa: PTH115 - Path.readlink tidies what the link says
            elif stat.S_ISDIR(mode):
                yield Folder(path, stat.S_IMODE(mode))
            elif stat.S_ISREG(mode):
                yield File(path, source, stat.S_IMODE(mode))


def write_archive(archive: Path, name: str, config: ImageConfig, members: Iterable[Member]) -> str:
    """Write the image and return the digest of its manifest.

    :param archive: the file to write.
    :param name: the image's full name with its tag.
    :param members: in any order; of two with one path the later one counts.
    """
    with tempfile.TemporaryFile(dir=archive.parent) as layer:
        _write_layer(layer, members)
        size = layer.tell()
        layer.seek(0)
        layer_digest = _named(hashlib.file_digest(layer, "sha256").hexdigest())
        layer.seek(0)
        config_data = _json(config.document(layer_digest))
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(config_data, _CONFIG),
            "layers": [{"mediaType": _LAYER, "digest": layer_digest, "size": size}],
        }
        manifest_data = _json(manifest)
        described = _descriptor(manifest_data, _MANIFEST)
        # The first is what containerd names the image by, the second what others do.
        annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [described | {"annotations": annotations}]}
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add(tar, "index.json", _json(index))
            for data in (config_data, manifest_data):
                _add(tar, f"blobs/sha256/{_sha256(data)}", data)
            entry = tarfile.TarInfo(f"blobs/sha256/{layer_digest.partition(':')[2]}")
            entry.size = size
            tar.addfile(entry, layer)
    return str(described["digest"])


def _write_layer(into: IO[bytes], members: Iterable[Member]) -> None:
    found: dict[str, Member] = {}
    for member in members:
        path = member.path.strip("/")
        if not path or ".." in path.split("/"):
            raise ValueError(f"not a path in an image: {member.path!r}")
        found[path] = member
    for path in list(found):
        for above in list(Path(path).parents)[:-1]:
            found.setdefault(str(above), Folder(str(above)))
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as tar:
        # By path, so that a folder comes before what is in it.
        for path, member in sorted(found.items(), key=lambda item: item[0].split("/")):
            _add_member(tar, path, member)


def _add_member(tar: tarfile.TarFile, path: str, member: Member) -> None:
    entry = tarfile.TarInfo(path)
    if isinstance(member, Link):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, member.target, 0o777
        tar.addfile(entry)
        return
    entry.mode, entry.uid, entry.gid = member.mode & _MODE_BITS, member.uid, member.gid
    if isinstance(member, Folder):
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    elif isinstance(member.content, bytes):
        entry.size = len(member.content)
        tar.addfile(entry, io.BytesIO(member.content))
    else:
        with member.content.open("rb") as source:
            entry.size = os.fstat(source.fileno()).st_size
            tar.addfile(entry, source)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _named(hexadecimal: str) -> str:
    return f"sha256:{hexadecimal}"


def _descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _named(_sha256(data)), "size": len(data)}
