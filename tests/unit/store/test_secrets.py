"""No secret that the store was told of reaches a file, whatever carries it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from vdibench.errors import StoreError
from vdibench.records import ObjectiveResult, Outcome, RunState, SuiteVerdict
from vdibench.store import REDACTED, Recording, Redactor, RunFolder

SECRET = 'pa"ss/wörd+1&2'


def _forms() -> list[str]:
    basic = [base64.b64encode(f"{user}:{SECRET}".encode()).decode() for user in ("u", "us", "use")]
    return [SECRET, quote(SECRET), quote(SECRET, safe=""), json.dumps(SECRET), *basic]


def _holds_secret(text: str) -> bool:
    return any(
        form in text for form in (SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1], "wörd", "w\\u00f6rd")
    )


@pytest.mark.parametrize("form", _forms())
def test_every_form_is_found(form: str) -> None:
    text = Redactor([SECRET]).text(f"before {form} after")
    assert REDACTED in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert not _holds_secret(text)
    left = text.replace("before ", "").replace(" after", "")
    for padded in (left[: len(left) // 4 * 4], left):
        decoded = base64.b64decode(padded.replace(REDACTED, "") + "==", validate=False)
        assert b"wor" not in decoded
        assert SECRET.encode() not in decoded


def test_nothing_that_is_written_holds_the_secret(run, tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, run, secrets=[SECRET]) as folder:
        place = {"suite": "preflight", "level": 1, "trial": 0, "phase": "steady", "session": SECRET}
        folder.append("facts", [{**place, "key": SECRET, "value": f"user:{SECRET}@host"}])
        folder.append(
            "checks", [{**place, "name": "n", "outcome": "fail", "finding": SECRET, "evidence": SECRET, "remedy": ""}]
        )
        folder.update(errors=[f"login {SECRET}"], parameters={SECRET: {"url": f"https://u:{quote(SECRET)}@h/"}})
        result = ObjectiveResult("check:login", SECRET, Outcome.FAIL, None, 1, None, "", f"<{SECRET}>")
        folder.write_verdict(SuiteVerdict("preflight", Outcome.FAIL, (result,), (SECRET,)))
        folder.write_text("log.txt", f"{SECRET}\nfine")
        with pytest.raises(StoreError, match="was not written"):
            folder.write_bytes("figure.bin", b"\x00" + SECRET.encode() + b"\x00")
        folder.finish(RunState.FINISHED)
    recording = Recording.open(folder.path)
    texts = [recording.table(name).to_csv() for name in ("facts", "checks")]
    texts += [path.read_text() for path in folder.path.rglob("*") if path.is_file() and path.suffix != ".parquet"]
    assert len(texts) >= 7
    assert any(REDACTED in text for text in texts)
    for text in texts:
        assert not _holds_secret(text)
    assert not (folder.path / "figure.bin").exists()
    assert (folder.path / "log.txt").read_text() == f"{REDACTED}\nfine"


def test_a_short_secret_spares_identifiers_but_not_texts(run, tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, run, secrets=["desktop", ""]) as folder:
        place = {"suite": "preflight", "level": 1, "trial": 0, "phase": "steady", "session": "desktop-0"}
        folder.append("facts", [{**place, "key": "k", "value": "the desktop"}])
    facts = Recording.open(folder.path).table("facts")
    assert facts["session"].tolist() == ["desktop-0"]
    assert facts["value"].tolist() == [f"the {REDACTED}"]
