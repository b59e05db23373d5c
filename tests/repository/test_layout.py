"""What is committed: folders, names, nothing that belongs to one machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import vdibench

TOP_FOLDERS = ("docs", "notebooks", "operator", "manifests", "results", "tests")
# Evidence of a run keeps what the run printed, and may be binary.
EVIDENCE = Path("results/reference")
BINARY = {".png", ".trace", ".parquet", ".h264", ".bin", ".pcap", ".gz", ".jpg", ".ico", ".woff2", ".npz", ".npy"}
MACHINE_PATH = re.compile(r"(?<![\w.$}/:-])/(?:root/\S|work/(?:main|shared)|home/(?!user\b)\w|Users/\w|opt/wheels)")
REGISTRY = re.compile(
    r"\b(?:pypi\.org|files\.pythonhosted\.org|conda\.anaconda\.org|registry\.npmjs\.org|proxy\.golang\.org"
    r"|deb\.debian\.org|archive\.ubuntu\.com|ghcr\.io|docker\.io|quay\.io|nvcr\.io|crates\.io)\b"
)
# This file spells what it looks for; image references name their registry by design.
SPELLED_OUT = {Path("tests/repository/test_layout.py")}
MAY_NAME_IMAGES = ("manifests/", "operator/")


def texts(root: Path, committed: list[Path]) -> list[tuple[Path, str]]:
    return [
        (path, (root / path).read_text())
        for path in committed
        if path.suffix not in BINARY and EVIDENCE not in path.parents
    ]


@pytest.mark.parametrize("folder", TOP_FOLDERS)
def test_top_folder_says_what_it_is_for(root: Path, folder: str) -> None:
    readme = (root / folder / "README.md").read_text()
    assert readme.startswith("# ")
    assert len(readme.splitlines()) >= 3


def test_operator_folder_does_not_hide_the_standard_module(root: Path) -> None:
    assert not (root / "operator" / "__init__.py").exists()


def test_no_file_belongs_to_one_machine(root: Path, committed: list[Path]) -> None:
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for path, text in texts(root, committed)
        if path not in SPELLED_OUT
        for match in MACHINE_PATH.finditer(text)
    ]
    assert found == []


def test_no_file_names_a_registry(root: Path, committed: list[Path]) -> None:
    found = [
        f"{path}: {match.group()}"
        for path, text in texts(root, committed)
        if path not in SPELLED_OUT and not str(path).startswith(MAY_NAME_IMAGES)
        for match in REGISTRY.finditer(text)
    ]
    assert found == []


def test_notebooks_are_committed_without_outputs(root: Path, committed: list[Path]) -> None:
    notebooks = [p for p in committed if p.suffix == ".ipynb" and EVIDENCE not in p.parents]
    assert notebooks
    for path in notebooks:
        for cell in json.loads((root / path).read_text())["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


def test_relative_links_lead_to_what_is_committed(root: Path, committed: list[Path]) -> None:
    there = {root, *((root / path) for path in committed)}
    there |= {folder for path in there for folder in path.parents}
    broken = []
    for path in committed:
        if path.suffix != ".md":
            continue
        prose = re.sub(r"^```.*?^```", "", (root / path).read_text(), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)\s]+)\)", prose):
            target = link.partition("#")[0]
            if target and not re.match(r"[a-z]+:", link) and (root / path.parent / target).resolve() not in there:
                broken.append(f"{path}: {link}")
    assert broken == []


def test_every_test_folder_is_described(root: Path, committed: list[Path]) -> None:
    folders = {path.parts[1] for path in committed if path.parts[0] == "tests" and len(path.parts) > 2}
    described = set(re.findall(r"^\| `(\w+)/`", (root / "tests" / "README.md").read_text(), flags=re.M))
    assert folders <= described


def test_ci_runs_what_everybody_runs(root: Path) -> None:
    script = root / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}
    goals = subprocess.run(["make", "-n", "test"], cwd=root, env=env, capture_output=True, text=True, check=True).stdout
    assert goals.rstrip().splitlines()[-1].endswith("python scripts/test.py")


def test_version_has_its_place_in_the_changelog(root: Path) -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (root / "CHANGELOG.md").read_text(), flags=re.M)
    assert headings[0] in ("Unreleased", vdibench.__version__)
    released = [h for h in headings if h != "Unreleased"]
    assert not released or released[0] == vdibench.__version__


def test_licence_is_the_one_that_is_declared(root: Path) -> None:
    text = (root / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
