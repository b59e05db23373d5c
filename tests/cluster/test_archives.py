"""An image archive is what the OCI image specification says, and the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from vdibench.lab.cluster.archives import File, Folder, ImageConfig, Link, tree, write_archive

NAME = "vdibench.local/thing:1.2"
CONFIG = ImageConfig(
    ("/bin/thing", "--flag"),
    ("argument",),
    {"PATH": "/bin", "A": "b=c"},
    user="1000:1000",
    working_directory="/home/user",
    ports=("8080/tcp", "3478/udp"),
    labels={"one": "1"},
)


class Archive:
    """An archive as a reader sees it."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as tar:
            self.files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}
        self.index = json.loads(self.files["index.json"])
        self.manifest = self.document(self.index["manifests"][0])
        self.config = self.document(self.manifest["config"])
        layer = io.BytesIO(self.blob(self.manifest["layers"][0]))
        self.layer = tarfile.open(fileobj=layer)  # noqa: SIM115 - in memory, and read as long as this lives
        self.members = {entry.name: entry for entry in self.layer}

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        algorithm, _, digest = descriptor["digest"].partition(":")
        data = self.files[f"blobs/{algorithm}/{digest}"]
        assert hashlib.new(algorithm, data).hexdigest() == digest
        assert len(data) == descriptor["size"]
        return data

    def document(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        return json.loads(self.blob(descriptor))


def _written(folder: Path, *members: Any, config: ImageConfig = CONFIG) -> tuple[str, Archive]:
    path = folder / "image.tar"
    digest = write_archive(path, NAME, config, members)
    return digest, Archive(path)


def test_structure(tmp_path: Path) -> None:
    digest, archive = _written(tmp_path, File("/bin/thing", b"program", 0o755))
    assert json.loads(archive.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert archive.index["schemaVersion"] == archive.manifest["schemaVersion"] == 2
    assert archive.index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    (described,) = archive.index["manifests"]
    assert described["digest"] == digest
    assert described["mediaType"] == archive.manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert described["annotations"]["io.containerd.image.name"] == NAME
    assert described["annotations"]["org.opencontainers.image.ref.name"] == "1.2"
    assert archive.manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    (layer,) = archive.manifest["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    # Nothing is compressed, so the layer's own digest is that of its content.
    assert archive.config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}
    assert set(archive.files) == {"oci-layout", "index.json"} | {
        "blobs/sha256/" + one["digest"].partition(":")[2] for one in (described, archive.manifest["config"], layer)
    }


def test_configuration(tmp_path: Path) -> None:
    _, archive = _written(tmp_path)
    assert (archive.config["os"], archive.config["architecture"]) == ("linux", "amd64")
    assert archive.config["config"] == {
        "Entrypoint": ["/bin/thing", "--flag"],
        "Cmd": ["argument"],
        "Env": ["A=b=c", "PATH=/bin"],
        "User": "1000:1000",
        "WorkingDir": "/home/user",
        "ExposedPorts": {"3478/udp": {}, "8080/tcp": {}},
        "Labels": {"one": "1"},
    }


def test_members(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    _, archive = _written(
        tmp_path,
        File("/usr/bin/thing", tmp_path / "source", 0o755),
        Link("/bin", "usr/bin"),
        Folder("/home/user", 0o700, 1000, 1000),
        Folder("/tmp", 0o1777),
    )
    assert list(archive.members) == ["bin", "home", "home/user", "tmp", "usr", "usr/bin", "usr/bin/thing"]
    assert archive.members["bin"].linkname == "usr/bin"
    home = archive.members["home/user"]
    assert (home.uid, home.gid, home.mode) == (1000, 1000, 0o700)
    assert archive.members["tmp"].mode == 0o1777
    assert archive.layer.extractfile("usr/bin/thing").read() == b"x" * 100_000


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    members = [File("/b/file", b"1"), Link("/a", "b"), Folder("/b/empty")]
    digests, contents = set(), set()
    for number, order in enumerate((members, members[::-1])):
        root = tmp_path / str(number)
        root.mkdir()
        for name in ("one", "two") if number else ("two", "one"):
            (root / name).write_text(name)
            os.utime(root / name, (number, number))
        path = tmp_path / f"{number}.tar"
        digests.add(write_archive(path, NAME, CONFIG, [*order, *tree(root, "/root")]))
        contents.add(path.read_bytes())
    assert len(digests) == len(contents) == 1


@pytest.mark.parametrize(
    "changed", [File("/file", b"2"), File("/file", b"1", 0o600), File("/file", b"1", uid=1), File("/other", b"1")]
)
def test_another_input_gives_another_digest(tmp_path: Path, changed: File) -> None:
    first, _ = _written(tmp_path, File("/file", b"1"))
    second, _ = _written(tmp_path, changed)
    assert first != second


def test_a_folder_as_a_layer(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "file").write_text("content")
    (root / "gains").write_text("")
    (root / "gains").chmod(0o4755)
    (root / "link").symlink_to("/deep/../deep")
    (root / "folder-link").symlink_to("deep")
    os.mkfifo(root / "pipe")
    _, archive = _written(tmp_path, *tree(root, "/opt"))
    assert list(archive.members) == [
        "opt",
        *("opt/deep", "opt/deep/er", "opt/deep/er/file", "opt/folder-link", "opt/gains", "opt/link"),
    ]
    assert archive.members["opt/link"].linkname == "/deep/../deep"
    assert archive.members["opt/folder-link"].issym()
    # Nothing in an image may gain rights.
    assert archive.members["opt/gains"].mode == 0o755


def test_of_two_with_one_path_the_later_one_counts(tmp_path: Path) -> None:
    _, archive = _written(tmp_path, File("/file", b"1"), File("file", b"2"))
    assert list(archive.members) == ["file"]
    assert archive.layer.extractfile("file").read() == b"2"


@pytest.mark.parametrize("path", ["", "/", "../file", "/a/../../file"])
def test_no_path_leaves_the_image(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        _written(tmp_path, File(path, b""))
