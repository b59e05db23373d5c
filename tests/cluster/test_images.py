"""The lab's images are made of what their descriptions say, whichever way, and what is in them runs."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

import vdibench
from vdibench.errors import LabError
from vdibench.lab.cluster.archives import File
from vdibench.lab.cluster.images import NAMES, Image, image_config, image_names, images
from vdibench.lab.cluster.libraries import missing_libraries
from vdibench.lab.cluster.packages import node_packages, offered, with_dependencies
from vdibench.lab.cluster.rootfs import DesktopSource, desktop_members, desktop_roots, own_source
from vdibench.lab.cluster.wheels import install_wheels

ROOT = Path(vdibench.__file__).parents[1]
DESCRIPTION = ROOT / "manifests" / "session" / "image"


def _layer(image: Image) -> tarfile.TarFile:
    with tarfile.open(image.path) as archive:
        largest = max(archive.getmembers(), key=lambda entry: entry.size)
        return tarfile.open(fileobj=io.BytesIO(archive.extractfile(largest).read()))


def _instructions() -> dict[str, list[str]]:
    """Keyword -> arguments of the last stage of the desktop's Containerfile."""
    text = (DESCRIPTION / "Containerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.rpartition("\nFROM ")[2].splitlines()[1:]:
        keyword, _, arguments = line.partition(" ")
        if keyword.isupper():
            found.setdefault(keyword, []).append(arguments)
    return found


def test_names_have_a_version() -> None:
    names = image_names()
    assert tuple(names) == NAMES
    for short, full in names.items():
        assert re.fullmatch(rf"vdibench\.local/{short}:\d+(\.\d+)*", full)


def test_both_ways_start_alike() -> None:
    said, config = _instructions(), image_config("desktop")
    assert said["USER"] == [config.user]
    assert said["WORKDIR"] == [config.working_directory]
    assert said["EXPOSE"] == list(config.ports)
    assert said["ENTRYPOINT"] == [str(list(config.entrypoint)).replace("'", '"')]
    assert dict(word.split("=", 1) for word in shlex.split(said["ENV"][0])) == config.environment


def test_both_ways_take_the_same_files(tmp_path: Path) -> None:
    source = own_source()
    copied = {words[-1]: words[-2] for words in map(str.split, _instructions()["COPY"])}
    for path in (tmp_path / "debian", tmp_path / "python"):
        path.mkdir()
    (tmp_path / "python" / "module").write_text("")
    members = {member.path: member for member in desktop_members(source, tmp_path / "debian", tmp_path / "python")}
    for target in ("/usr/local/bin/desktop-session", "/usr/local/lib/vdibench/desk.py"):
        member = members[target]
        assert isinstance(member, File)
        assert member.content == (ROOT / copied[target]).read_bytes()
    assert f"{list(copied)[1]}/module" in members
    text = (DESCRIPTION / "Containerfile").read_text()
    assert all(f"/build/{name}" in text for name in ("packages.txt", "left-out.txt", "requirements.txt"))


def test_the_wheels_are_those_of_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = [line.split() for line in (DESCRIPTION / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    assert "selkies==2.1.0" in [name for name, _ in pins]
    for name, digest in pins:
        found = re.search(rf"^{re.escape(name)}\b.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL | re.IGNORECASE)
        assert found, name
        assert digest in found[0], name


def test_what_is_left_out_would_be_there() -> None:
    source = own_source()
    whole = {package.name for package in with_dependencies(source.packages)}
    assert set(source.left_out) <= whole
    assert not set(source.left_out) & set(source.packages)
    kept = {package.name for package in with_dependencies(source.packages, source.left_out)}
    assert kept == whole - set(source.left_out)


def test_a_description_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"packages\.txt.*checkout"):
        DesktopSource(tmp_path)


def test_without_apt_s_lists_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(f'Dir::State::lists "{tmp_path}/lists";\nDir::Cache "{tmp_path}";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    for ask in (offered, with_dependencies):
        with pytest.raises(LabError, match="apt-get update"):
            ask(["busybox-static"])


def test_without_apt_the_system_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"without apt-get, dpkg-deb, tar.*Debian 12"):
        offered(["busybox-static"])


def test_a_wheel_that_is_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot fetch wheels"):
        install_wheels(f"aiosignal==1.4.0 --hash=sha256:{'0' * 64}\n", tmp_path / "into")


@pytest.mark.timeout(900)  # the first time it fetches
def test_the_node_has_its_programs() -> None:
    node = node_packages()
    for name in ("containerd", "ctr", "runc", "busybox"):
        assert (node / "usr" / "bin" / name).is_file(), name
    for name in ("iptables", "nft", "ipset", "conntrack"):
        assert (node / "usr" / "sbin" / name).resolve().is_file(), name
    assert (node / "usr" / "lib" / "cni" / "bridge").is_file()
    assert (node / "bin").is_symlink()


@pytest.mark.timeout(900)  # the first time it fetches and builds
def test_small_images_run(tmp_path: Path) -> None:
    pause, busybox, coturn = images(only=["pause", "busybox", "coturn"])
    assert images(only=["pause"]) == (pause,)
    for image in (pause, busybox, coturn):
        with _layer(image) as layer:
            layer.extractall(tmp_path, filter="tar")
    with subprocess.Popen([tmp_path / "pause"]) as process:
        # Before its handler is there the signal ends it too, by another status.
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
    said = subprocess.run([tmp_path / "bin" / "sh", "-c", "echo $((6*7))"], capture_output=True, text=True, check=True)
    assert said.stdout == "42\n"
    # With its own libraries, wherever they are unpacked.
    linker, *_ = (tmp_path / "usr/lib/x86_64-linux-gnu").glob("ld-linux*")
    said = subprocess.run(
        [linker, "--library-path", linker.parent, tmp_path / "usr/bin/turnserver", "--version"],
        capture_output=True,
        text=True,
    )
    assert "4.6.1" in said.stdout + said.stderr


@pytest.mark.timeout(900)  # the first time it fetches
def test_the_desktop_is_small_and_lacks_no_library(tmp_path: Path) -> None:
    (image,) = images(only=["desktop"])
    assert image.path.stat().st_size < 500e6
    with tarfile.open(image.path) as archive, _layer(image) as layer:
        members = {entry.name: entry for entry in layer}
        assert "index.json" in archive.getnames()
    for program in ("Xvfb", "xkbcomp", "pulseaudio", "python3", "tini"):
        assert f"usr/bin/{program}" in members
    assert members["home/user"].uid == members["run/user"].uid == 1000
    assert members["bin"].issym()
    # Compiled, since nothing can be kept in a read-only root.
    packages = "usr/local/lib/python3.11/dist-packages"
    assert f"{packages}/selkies/__pycache__/__main__.cpython-311.pyc" in members
    debian, python = desktop_roots(own_source(), print)
    assert missing_libraries(debian, (python,)) == {}
    # The check sees what is missing: the X server with nothing but the linker and libc.
    libraries = tmp_path / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    for name in ("ld-linux-x86-64.so.2", "libc.so.6"):
        shutil.copy(debian / "usr/lib/x86_64-linux-gnu" / name, libraries)
    shutil.copy(debian / "usr/bin/Xvfb", tmp_path)
    assert "libpixman-1.so.0" in missing_libraries(tmp_path)["Xvfb"]
