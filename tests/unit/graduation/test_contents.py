"""A chart is read whole, from a folder or an archive, and nothing in it leads anywhere else."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vdibench.errors import UsageError
from vdibench.graduation.contents import load_yaml, read_chart

from .graduated_charts import Graduation, packaged, put

SECRET = b"not of the chart\n"


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    return Graduation().write(tmp_path / "vdi-operator")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    made.size = len(SECRET) if kind == tarfile.REGTYPE else 0
    return made


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for one in members:
            made.addfile(one, io.BytesIO(SECRET) if one.isreg() else None)
    return path


def test_a_folder_and_its_archive_hold_the_same(chart: Path, tmp_path: Path) -> None:
    folder, package = read_chart(chart), read_chart(packaged(chart, tmp_path / "vdi-operator-0.1.0.tgz"))
    assert folder.files == package.files
    assert folder.odd == package.odd == ()
    assert folder.files["Chart.yaml"] == (chart / "Chart.yaml").read_bytes()
    assert {"graduated/evidence.json", "crds/vditemplates.yaml", "templates/empty.yaml"} <= set(folder.files)


def test_hidden_files_are_read_too(chart: Path) -> None:
    put(chart / "templates" / ".hidden.yaml", SECRET)
    assert read_chart(chart).files["templates/.hidden.yaml"] == SECRET


def test_what_is_not_there_is_no_chart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no chart"):
        read_chart(tmp_path / "none")


@pytest.mark.parametrize("name", ["templates/more.yaml", "more"])
def test_a_link_is_not_followed(chart: Path, tmp_path: Path, name: str) -> None:
    put(tmp_path / "outside" / "file.yaml", SECRET)
    target = tmp_path / "outside" / "file.yaml" if name.endswith(".yaml") else tmp_path / "outside"
    (chart / name).symlink_to(target)
    found = read_chart(chart)
    assert found.odd == (f"{name} is a link",)
    assert SECRET not in found.files.values()


def test_a_pipe_is_not_opened(chart: Path) -> None:
    os.mkfifo(chart / "templates" / "pipe")
    assert read_chart(chart).odd == ("templates/pipe is neither file nor folder",)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.yaml",
        "vdi-operator/../../evil.yaml",
        "vdi-operator/templates/../values.yaml",
        "/etc/evil.yaml",
        "vdi-operator//values.yaml",
        "./vdi-operator/values.yaml",
        "vdi-operator/a\\templates\\evil.yaml",
    ],
)
def test_a_name_that_is_no_plain_path_is_odd_and_not_read(tmp_path: Path, name: str) -> None:
    found = read_chart(archive(tmp_path / "chart.tgz", member("vdi-operator/Chart.yaml"), member(name)))
    assert found.odd == (f"{name} is no plain path into the chart",)
    assert set(found.files) == {"Chart.yaml"}
    assert not (tmp_path / "evil.yaml").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_an_archive_holds_files_and_folders_alone(tmp_path: Path, kind: bytes) -> None:
    put(tmp_path / "outside", SECRET)
    odd = member("vdi-operator/values.yaml", kind, str(tmp_path / "outside"))
    found = read_chart(archive(tmp_path / "chart.tgz", member("vdi-operator/Chart.yaml"), odd))
    assert found.odd == ("vdi-operator/values.yaml is neither file nor folder",)
    assert set(found.files) == {"Chart.yaml"}


def test_an_archive_has_each_file_once_and_one_folder(tmp_path: Path) -> None:
    names = ("vdi-operator/Chart.yaml", "vdi-operator/Chart.yaml", "other/values.yaml", "loose.yaml")
    found = read_chart(archive(tmp_path / "chart.tgz", *map(member, names)))
    assert found.odd == (
        "Chart.yaml is there twice",
        "loose.yaml is not in the chart's folder",
        "chart.tgz holds 2 folders instead of one",
    )


def test_an_archive_that_says_it_is_huge_is_not_read_to_its_end(tmp_path: Path) -> None:
    huge = member("vdi-operator/values.yaml")
    huge.size = 2**40
    head = member("vdi-operator/Chart.yaml")
    blocks = head.tobuf() + SECRET.ljust(512, b"\0") + huge.tobuf()
    path = tmp_path / "chart.tgz"
    path.write_bytes(gzip.compress(blocks))
    found = read_chart(path)
    assert found.odd == ("it holds more than a chart does",)
    assert set(found.files) == {"Chart.yaml"}


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: b"no archive", lambda data: b""],
)
def test_a_damaged_archive_is_odd(chart: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = packaged(chart, tmp_path / "chart.tgz")
    path.write_bytes(damage(path.read_bytes()))
    (line, *_) = read_chart(path).odd
    assert line.startswith("chart.tgz cannot be read to its end: ")


def test_yaml_is_read() -> None:
    assert load_yaml(b"- {a: 1}\n") == [{"a": 1}]


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"\xff",
        b"a: !!bool maybe",
        b"a: !!timestamp x",
        b"? [a]\n: b",
        b"!!python/object:os.system {}",
        b"[" * 5000,
    ],
)
def test_what_is_no_yaml_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        load_yaml(data)
