"""A chart with its folder of evidence: whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from vdibench.errors import StoreError, UsageError
from vdibench.graduation.chart import chart_files, packaged, write_chart, yaml_list

from ...operator.chart.helm import CHART, helm
from ...repository.kustomize import built

FILES = {"templates.yaml": b"[]\n", "security.yaml": b"# one\n[]\n"}


def names(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The operator's chart, with what lies about in a checkout."""
    copied = shutil.copytree(CHART, tmp_path / "source" / "vdi-operator")
    for rest in ("templates/.DS_Store", "files/.x.swp", "files/__pycache__/x.pyc", ".git/config", "old.tgz"):
        (copied / rest).parent.mkdir(exist_ok=True)
        (copied / rest).write_text("rest")
    return copied


# yaml_list


def test_a_list_says_what_it_was_made_of_and_reads_back() -> None:
    objects = built("overlays/k3s")
    text = yaml_list(objects, run="20261124T174715Z-x").decode()
    assert text.startswith("# Written by `vdibench graduate` from the run 20261124T174715Z-x.")
    assert yaml.safe_load(text) == objects


def test_the_same_objects_give_the_same_bytes() -> None:
    def turned(value: Any) -> Any:
        """The same with its keys in another order."""
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(one) for one in value] if isinstance(value, list) else value

    objects = built("overlays/k3s")
    assert yaml_list([turned(one) for one in objects], run="r") == yaml_list(objects, run="r")
    shared = {"a": 1}
    assert yaml_list([{"x": shared, "y": shared}], run="r") == yaml_list([{"x": {"a": 1}, "y": {"a": 1}}], run="r")
    assert yaml_list(objects, run="s") != yaml_list(objects, run="r")


@pytest.mark.parametrize("text", ["1e3", "12345678e9", "0o17", "y", "N", ".5", "1:30", "-", "+1", "2026-11-24"])
def test_text_that_may_be_taken_for_something_else_is_in_quotes(text: str) -> None:
    made = yaml_list([{"text": text}], run="r").decode().splitlines()[1]
    assert made == f"- text: '{text}'"


def test_text_of_several_lines_is_written_as_lines() -> None:
    made = yaml_list([{"text": "one\ntwo: 2\n"}], run="r").decode()
    assert made.partition("\n")[2] == "- text: |\n    one\n    two: 2\n"


# write_chart


def test_a_copy_has_all_of_the_chart_and_what_was_graduated(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "made" / "vdi-operator"
    write_chart(source, target, FILES)
    assert names(target) == names(CHART) | {"graduated/templates.yaml", "graduated/security.yaml"}
    for name in names(CHART) - {"Chart.yaml"}:
        assert (target / name).read_bytes() == (CHART / name).read_bytes(), name
    # As helm writes it: without comments.
    first, second = (yaml.safe_load((chart / "Chart.yaml").read_text()) for chart in (target, CHART))
    assert first == second
    assert list(target.parent.iterdir()) == [target], "nothing is left beside it"


def test_a_graduated_chart_is_replaced_whole(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    write_chart(source, target, {**FILES, "older.yaml": b"[]\n"})
    (target / "templates" / "added.yaml").write_text("kind: Added\n")
    write_chart(source, target, FILES)
    assert names(target) == names(CHART) | {f"graduated/{name}" for name in FILES}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["made", "source"]


def test_what_another_run_graduated_is_not_taken_along(source: Path, tmp_path: Path) -> None:
    write_chart(source, tmp_path / "first", {**FILES, "older.yaml": b"[]\n"})
    write_chart(tmp_path / "first", tmp_path / "second", FILES)
    assert "graduated/older.yaml" not in names(tmp_path / "second")
    write_chart(source, tmp_path / "direct", FILES)
    assert chart_files(tmp_path / "second") == chart_files(tmp_path / "direct")


def test_an_empty_folder_may_become_one(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_chart(source, tmp_path / "empty", FILES)
    assert (tmp_path / "empty" / "graduated" / "templates.yaml").read_bytes() == b"[]\n"


def test_a_failure_leaves_all_as_it_was(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    write_chart(source, target, FILES)
    before = chart_files(target)
    files: dict[str, Any] = {"templates.yaml": b"- new\n", "security.yaml": None}
    with pytest.raises(TypeError):
        write_chart(source, target, files)
    assert chart_files(target) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["made", "source"]


def test_what_is_no_graduated_chart_is_not_replaced(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    plain = shutil.copytree(CHART, tmp_path / "plain")
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("")
    link.symlink_to(folder)
    for target in (folder, plain, file, link):
        with pytest.raises(UsageError, match=str(target)):
            write_chart(source, target, FILES)
    assert (folder / "letter.txt").read_text() == "dear"
    assert names(plain) == names(CHART)


def test_a_chart_is_not_written_over_itself(source: Path) -> None:
    for target in (source, source / "graduated", source.parent):
        with pytest.raises(UsageError, match="in one another"):
            write_chart(source, target, FILES)


def test_a_source_that_is_no_chart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no chart"):
        write_chart(tmp_path, tmp_path / "made", FILES)
    with pytest.raises(UsageError, match="there is no chart"):
        chart_files(tmp_path)


def test_a_target_below_a_file_is_an_error_of_the_file_system(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the chart"):
        write_chart(source, tmp_path / "file" / "made", FILES)


@pytest.mark.parametrize("name", ["../templates.yaml", "a/b.yaml", ""])
def test_a_name_that_leads_elsewhere_is_refused(name: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no name of a file"):
        write_chart(source, tmp_path / "made", {name: b""})


# chart_files


def test_every_file_counts_but_the_evidence(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    write_chart(source, target, {**FILES, "evidence.json": b"{}", "evidence.dsse.json": b"{}"})
    found = chart_files(target)
    assert set(found) == names(target) - {"graduated/evidence.json", "graduated/evidence.dsse.json"}
    assert list(found) == sorted(found)
    assert found["graduated/security.yaml"] == b"# one\n[]\n"


@pytest.mark.parametrize("added", ["templates/__pycache__/x.yaml", "templates/.DS_Store", "evidence.json", "x.swp"])
def test_whatever_was_added_counts(added: str, source: Path, tmp_path: Path) -> None:
    """Helm may render it, whatever it is called: what is ignored in copying is not in looking."""
    target = tmp_path / "made"
    write_chart(source, target, FILES)
    before = set(chart_files(target))
    (target / added).parent.mkdir(exist_ok=True)
    (target / added).write_text("kind: Added\n")
    assert set(chart_files(target)) - before == {added}


def test_a_link_in_a_chart_is_refused(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    write_chart(source, target, FILES)
    (target / "templates" / "more.yaml").symlink_to(source / "values.yaml")
    with pytest.raises(UsageError, match=r"more\.yaml is a link"):
        chart_files(target)


# packaged


def test_a_chart_that_helm_does_not_take_is_named(source: Path, tmp_path: Path) -> None:
    (source / "Chart.yaml").write_text("name: vdi-operator\n")
    with pytest.raises(UsageError, match="helm cannot pack"):
        packaged(source, tmp_path / "packed", helm())
