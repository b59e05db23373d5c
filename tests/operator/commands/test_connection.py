"""Which cluster a command of users speaks to."""

from __future__ import annotations

from pathlib import Path

import pytest

from vdi_operator.commands.connection import VOLUME, CommandFailed, connect

FILE = """
current-context: {name}
contexts: [{{name: {name}, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "http://{name}.test:8001"}}}}]
users: [{{name: u, user: {{token: t}}}}]
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("one", "two"):
        (tmp_path / name).write_text(FILE.format(name=name))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{tmp_path / 'one'}:{tmp_path / 'two'}")
    return tmp_path


def test_the_first_file_that_has_the_context_counts(files: Path) -> None:
    assert connect(None, "").server == "http://one.test:8001"
    assert connect(None, "two").server == "http://two.test:8001"
    assert connect(files / "two", "").server == "http://two.test:8001"


def test_a_context_that_nobody_has_is_told_with_those_that_there_are(files: Path) -> None:
    with pytest.raises(CommandFailed, match=r"known are one.*known are two.*--kubeconfig FILE"):
        connect(None, "three")


def test_what_is_no_kubeconfig(files: Path) -> None:
    (files / "one").write_text("{[")
    with pytest.raises(CommandFailed, match="no cluster is known"):
        connect(files / "one", "")


def test_without_a_variable_it_is_the_one_at_home(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(FILE.format(name="home"))
    assert connect(None, "").server == "http://home.test:8001"


def test_volumes_are_of_no_namespace() -> None:
    assert VOLUME.path("vdi-sessions") == "/api/v1/persistentvolumes"
    assert VOLUME.path("vdi-sessions", "pv-1") == "/api/v1/persistentvolumes/pv-1"
