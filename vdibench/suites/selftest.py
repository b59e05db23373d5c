"""The self-test of a run: one that this machine made before, else made first, and kept in the run folder. I/O."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

from vdibench.errors import StoreError
from vdibench.lab import missing
from vdibench.records import Phase, SelfTest
from vdibench.report import formats
from vdibench.selftest import QUICK, keep, kept, run_selftest, unproven
from vdibench.store import SELFTEST_FILE, RunFolder, selftest_document
from vdibench.telemetry import MeasuringClaim

__all__ = ["STEP", "add_selftest"]

STEP = "selftest"


def add_selftest(
    folder: RunFolder, *, make: bool, say: Callable[[str], None], done: Callable[[str], None]
) -> SelfTest | None:
    """Put the self-test that holds for this machine into the run folder; make a quick one where there is none.

    It ends before anything of the run begins. What cannot be proven is said, and never ends a run.

    :param make: else only one that was made before is taken.
    :param say: told each step.
    :param done: told one line when one was made.
    :returns: what is in the folder now.
    """
    found = kept()
    if found is None and not make:
        return None
    if found is None:
        found = _make(folder, say, done)
    folder.write_text(SELFTEST_FILE, json.dumps(selftest_document(found), indent=1, ensure_ascii=False) + "\n")
    folder.update(context={"selftest": _facts(found)})
    return found


def _make(folder: RunFolder, say: Callable[[str], None], done: Callable[[str], None]) -> SelfTest:
    lacking = missing(turn=False)
    if lacking:
        found = unproven(f"no lab can come up here, {lacking[0].name} is missing ({lacking[0].remedy})")
    else:
        found = run_selftest(QUICK, say, MeasuringClaim(folder.path.name, folder.path))
        with suppress(StoreError):  # a home that cannot be written makes the next run slower, not this one wrong
            keep(found)
    folder.update(phases=(Phase(STEP, found.took_seconds, f"{found.kind}, {found.outcome}"),))
    done(f"{'self-test':<24} {found.outcome:<8} {found.took_seconds:6.1f} s")
    return found


def _facts(found: SelfTest) -> dict[str, object]:
    return {
        "kind": found.kind,
        "outcome": str(found.outcome),
        "fingerprint": found.fingerprint,
        "age_seconds": max(0.0, round(time.time() - found.began_unix_seconds - found.took_seconds, 1)),
        "said": formats.instant(found.began_unix_seconds),
    }
