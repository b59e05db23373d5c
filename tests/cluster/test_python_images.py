"""Images of load, operator and frame checker: both ways make them of the same lists, and what is in them runs."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vdibench
from vdibench.errors import LabError
from vdibench.lab.cluster.archives import File
from vdibench.lab.cluster.images import NAMES, ON_REQUEST, image_config
from vdibench.lab.cluster.libraries import linker
from vdibench.lab.cluster.python_image import (
    CHECKER,
    LOAD,
    OPERATOR,
    PythonSource,
    python_members,
    python_roots,
    selected,
)
from vdibench.lab.cluster.rootfs import SITE, listed

ROOT = Path(vdibench.__file__).parents[1]
DESCRIBED = {described[0]: described for described in (LOAD, OPERATOR, CHECKER)}
FOLDERS = {name: ROOT / folder for name, folder, _ in DESCRIBED.values()}
# Of vdibench's own requirements, those that only reports need.
LEFT_OUT = {"jinja2", "matplotlib", "rich", "scipy", "securesystemslib"}
LOCK = """\
# Written by a tool.
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via beta
Beta-B==2.0 ; python_full_version < '3.12' \\
    --hash=sha256:ba
beta-b==3.0 ; python_full_version >= '3.12' \\
    --hash=sha256:bb
gamma==1.0 ; sys_platform == 'win32' \\
    --hash=sha256:ca
"""


def instructions(name: str) -> dict[str, list[str]]:
    """Keyword -> arguments of the last stage of a Containerfile."""
    text = (FOLDERS[name] / "Containerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.rpartition("\nFROM ")[2].splitlines()[1:]:
        keyword, _, arguments = line.partition(" ")
        if keyword.isupper():
            found.setdefault(keyword, []).append(arguments)
    return found


def direct(project: Path) -> list[str]:
    """What a project of ours names itself."""
    return list(tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"])


def test_they_are_made_on_request_only() -> None:
    assert set(DESCRIBED) <= set(ON_REQUEST) < set(NAMES)


def test_entries_of_a_lock_are_those_of_debians_python() -> None:
    assert selected(LOCK, ["beta_b", "alpha"]) == (
        "Beta-B==2.0 --hash=sha256:ba\nalpha==1.0 --hash=sha256:aa --hash=sha256:ab\n"
    )
    for name in ("gamma", "delta"):
        with pytest.raises(LabError, match=f"lacks {name}"):
            selected(LOCK, ["alpha", name])


def test_a_line_that_is_no_entry_is_named() -> None:
    with pytest.raises(LabError, match="no entry: what is this"):
        selected("what is this\n", [])


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_containerfile_selects_the_same_wheels(name: str, tmp_path: Path) -> None:
    words = ["awk", "-f", FOLDERS["operator"] / "select-wheels.awk", FOLDERS[name] / "wheels.txt"]
    done = subprocess.run([*words, ROOT / "requirements.lock"], capture_output=True, text=True, timeout=30, check=True)
    ours = PythonSource(*DESCRIBED[name]).requirements
    assert selected(done.stdout, listed(FOLDERS[name] / "wheels.txt")) == ours
    (tmp_path / "wheels.txt").write_text("absent\n")
    words[-1] = tmp_path / "wheels.txt"
    done = subprocess.run([*words, ROOT / "requirements.lock"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "not in the lock: absent" in done.stderr


# Of the load's, tests/repository/test_load_manifests.py.
@pytest.mark.parametrize("name", ["operator", "checker"])
def test_the_wheels_are_closed_under_what_they_need(name: str) -> None:
    there = {canonicalize_name(one) for one in listed(FOLDERS[name] / "wheels.txt")}
    needed: set[str] = set()
    _, _, projects = DESCRIBED[name]
    waiting = [text for project in projects for text in direct(ROOT / project.folder)]
    while waiting:
        requirement = Requirement(waiting.pop())
        one = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and one not in needed and one not in LEFT_OUT and one != "vdibench":
            needed.add(one)
            waiting += importlib.metadata.requires(one) or ()
    # What makes kopf quick, and no more.
    assert there - needed == ({"uvloop"} if name == "operator" else set())
    assert needed - there == set()


@pytest.mark.parametrize("name", DESCRIBED)
def test_both_ways_start_it_alike(name: str) -> None:
    said, config = instructions(name), image_config(name)
    assert said["USER"] == [config.user] == ["65532:65532"]
    assert said["WORKDIR"] == [config.working_directory]
    assert said.get("EXPOSE", []) == list(config.ports)
    assert said["ENTRYPOINT"] == [str(list(config.entrypoint)).replace("'", '"')]
    assert dict(word.split("=", 1) for word in shlex.split(said["ENV"][0])) == config.environment


@pytest.mark.parametrize(
    ("name", "words", "option"),
    [
        ("load", ("vdibench.cli", "load"), "--target"),
        ("operator", ("vdi_operator", "run"), "--listen"),
        ("checker", ("vdi_checker.main",), "--listen"),
    ],
)
@pytest.mark.timeout(900)  # the first time it fetches
def test_what_is_in_it_runs(name: str, words: tuple[str, ...], option: str, tmp_path: Path) -> None:
    source = PythonSource(*DESCRIBED[name])
    debian, python = python_roots(source, print)
    for member in python_members(source, debian, python):
        # The rest lies in the two roots as it will in the image.
        if isinstance(member, File) and isinstance(member.content, bytes) and member.path.startswith(SITE):
            place = tmp_path / Path(member.path).relative_to(SITE)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(member.content)
    environment = {
        "PYTHONHOME": str(debian / "usr"),
        "PYTHONPATH": f"{tmp_path}:{python}",
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    command = [*linker(debian), str(debian / "usr" / "bin" / "python3.11"), "-m", *words, "--help"]
    # Elsewhere than in the checkout, whose packages would be found first.
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert option in done.stdout


def test_another_file_of_the_wheel_makes_another_image(tmp_path: Path) -> None:
    folder = FOLDERS["load"]
    places = set(re.findall(r"/build/source/(\w+)$", (folder / "Containerfile").read_text(), re.MULTILINE))
    assert places == {"manifests", "notebooks", "vdibench"}
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(folder, tmp_path / "manifests" / "load")
    for place in sorted(places - {"manifests"}):
        (tmp_path / place).mkdir()
    before = PythonSource(*LOAD, root=tmp_path).digest
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test.py").touch()
    (tmp_path / "vdibench" / "__pycache__").mkdir()
    (tmp_path / "vdibench" / "__pycache__" / "load.pyc").touch()
    assert PythonSource(*LOAD, root=tmp_path).digest == before
    for place in sorted(places):
        (tmp_path / place / "new").touch()
        after = PythonSource(*LOAD, root=tmp_path).digest
        assert after != before
        before = after


def test_a_description_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"packages\.txt.*checkout"):
        PythonSource("operator", "operator", (), root=tmp_path)
