"""Log lines: JSON that a machine reads, with the fields of a closed list and no others."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from vdi_operator.cluster.logs import configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, kopf = logging.getLogger(), logging.getLogger("kopf")
    before = (root.handlers[:], root.level, kopf.level)
    yield io.StringIO()
    root.handlers[:], level, kopf_level = before
    root.setLevel(level)
    kopf.setLevel(kopf_level)


def test_a_line_is_an_object(stream: io.StringIO) -> None:
    configure("json", stream)
    logging.getLogger("vdi_operator.x").warning(
        "image %s\nis not there", "i", extra={"session": "cad-7", "reason": "ImageUnavailable", "password": "hunter2"}
    )
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "logger": "vdi_operator.x",
        "message": "image i\nis not there",
        "session": "cad-7",
        "reason": "ImageUnavailable",
    }


def test_an_error_comes_with_where_it_was(stream: io.StringIO) -> None:
    configure("json", stream)
    try:
        raise RuntimeError("no")
    except RuntimeError:
        logging.getLogger("x").exception("failed")
    assert "RuntimeError: no" in json.loads(stream.getvalue())["error"]


def test_kopfs_own_lines_name_their_session(stream: io.StringIO) -> None:
    configure("json", stream)
    logging.getLogger("kopf.objects").warning("late", extra={"k8s_ref": {"name": "cad-7", "namespace": "n"}})
    logging.getLogger("kopf.objects").info("Handler succeeded.")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["session"] == "cad-7"


def test_text_is_for_people(stream: io.StringIO) -> None:
    configure("text", stream)
    logging.getLogger("x").info("ready", extra={"session": "cad-7", "seconds": 1.5})
    assert "INFO" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("ready session=cad-7 seconds=1.5")
