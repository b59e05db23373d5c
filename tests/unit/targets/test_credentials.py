from __future__ import annotations

from pathlib import Path

import pytest

from vdibench.errors import UsageError
from vdibench.records import Endpoint
from vdibench.targets import TOKEN_VARIABLE, session_token


def test_a_token_comes_from_the_environment_or_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert session_token() == ""
    monkeypatch.setenv(TOKEN_VARIABLE, " from-environment ")
    assert session_token() == "from-environment"
    file = tmp_path / "token"
    file.write_text("from-file\nand a remark\n")
    assert session_token(str(file)) == "from-file"


@pytest.mark.parametrize("content", ["", "\n", "two words", "bell\a", "\u2028"])
def test_what_is_no_token(content: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        session_token(str(file))
    assert caught.value.remedy
    assert not content.strip() or content not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read token file"):
        session_token(str(tmp_path / "absent"))


def test_a_token_does_not_show() -> None:
    assert "s3cret" not in repr(Endpoint("https://desktop.example.com", token="s3cret"))
