"""What the self-test found, as tables and as the sentence that stands beside a latency. Pure: text with units."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from vdibench.records import Outcome, SelfTest
from vdibench.report import formats

__all__ = ["accuracy_table", "cost_table", "error_sentence", "floor_sentence", "standing_sentence"]

_COUNTED = ("packets", "freezes")
_WORDS = {True: "yes", False: "NO", None: formats.NO_DATA}


def accuracy_table(found: SelfTest) -> pd.DataFrame:
    """One row a dialect, metric and injected value: what the client said of it."""
    rows = [
        [
            row.dialect,
            row.metric,
            _amount(row.injected, row.unit),
            _amount(row.measured, row.unit),
            _signed(row.error, row.unit),
            f"{_signed(row.low, row.unit)} … {_signed(row.high, row.unit)}" if row.low is not None else "",
            formats.count(row.samples),
            f"± {_amount(row.bound, row.unit)}",
            _WORDS[row.ok] if row.applicable else formats.NOT_APPLICABLE,
            row.note,
        ]
        for row in found.accuracy
    ]
    columns = [
        "dialect",
        "metric",
        "injected",
        "measured",
        "error",
        "95 % interval",
        "samples",
        "bound",
        "kept",
        "note",
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table if table.empty or (table["note"] != "").any() else table.drop(columns="note")


def cost_table(found: SelfTest) -> pd.DataFrame:
    """One row a mode of the client: what a session costs here."""
    rows = [
        [
            row.mode,
            formats.count(row.sessions),
            formats.quantity(row.packets_per_second, "1/second"),
            formats.ratio(row.cpu_ratio_per_session),
            formats.plain(row.clients_per_core),
            formats.data(row.rss_bytes_per_session),
            row.source,
        ]
        for row in found.cost
    ]
    columns = ["mode", "sessions", "packets a session", "of a core, a session", "clients a core", "memory a session"]
    return pd.DataFrame(rows, columns=[*columns, "source"])


def error_sentence(found: SelfTest | None, metrics: Iterable[str], dialect: str, now: float) -> str:
    """The client's own error for some metrics, in one sentence; says so where nothing is proven.

    :param dialect: that the run watched; rows of another one are named as such.
    :param now: Unix seconds of the run, for the self-test's age.
    """
    if found is None or found.outcome is Outcome.INVALID or not found.accuracy:
        return f"The client's own error is not proven on this machine: {_why_not(found)}."
    rows = [row for row in found.accuracy if row.metric in set(metrics) and row.error is not None]
    own = [row for row in rows if row.dialect == dialect] or rows
    if not own:
        return f"The client's own error of this is no part of the {found.kind} self-test; vdibench selftest has it."
    said = [
        f"{row.metric.removesuffix('_seconds').replace('_', ' ')} {_signed(row.error, row.unit)} of "
        f"{_amount(row.injected, row.unit)} injected (n = {formats.count(row.samples)})"
        for row in own
    ]
    where = "" if own[0].dialect == dialect or not dialect else f" with {own[0].dialect}"
    return f"This client's own error on this machine{where}: {', '.join(said)}; {_told(found, now)}."


def standing_sentence(found: SelfTest | None, now: float) -> str:
    """When, on what and with which result the machine was tested."""
    if found is None:
        return f"The measuring is not proven on this machine: {_why_not(found)}."
    verdict = {
        Outcome.PASS: "every error kept its bound",
        Outcome.FAIL: "at least one error missed its bound",
        Outcome.NO_DATA: "not everything could be measured",
        Outcome.INVALID: "its numbers must not be trusted",
    }[found.outcome]
    watched = f" against {found.desktop}" if found.desktop else ""
    sentence = f"{_told(found, now).capitalize()}{watched}: {verdict}. Machine and libraries {found.fingerprint}."
    reasons = [*found.invalid, *found.missing]
    return sentence if not reasons else f"{sentence} {formats.clean('; '.join(reasons))}."


def floor_sentence(found: SelfTest) -> str:
    """What the same would cost without this client; empty when it was not measured."""
    said = []
    if "receive" in found.floor:
        said.append(f"reading the packets and throwing them away {formats.ratio(found.floor['receive'])}")
    if "decode" in found.floor:
        said.append(f"decoding the pictures and throwing them away {formats.ratio(found.floor['decode'])}")
    for call in ("recvfrom", "recvmmsg"):
        if f"c_{call}" in found.floor:
            said.append(f"reading the packets by {call} in plain C {formats.ratio(found.floor[f'c_{call}'])}")
    return f"For comparison, of a core for one session: {'; '.join(said)}." if said else ""


def _told(found: SelfTest, now: float) -> str:
    age = now - found.began_unix_seconds
    when = f"{formats.duration(age)} before" if age >= found.took_seconds + 60 else "just before"
    return f"{found.kind} self-test, {when} the run" if now else f"{found.kind} self-test"


def _why_not(found: SelfTest | None) -> str:
    if found is None:
        return "no self-test was made (vdibench selftest makes one)"
    reasons = [*found.invalid, *found.missing]
    return formats.clean("; ".join(reasons)) if reasons else "the self-test measured nothing"


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return formats.NO_DATA
    if unit in _COUNTED:
        return f"{formats.count(value)} {unit.removesuffix('s') if value == 1 else unit}"
    return formats.quantity(value, unit)


def _signed(value: float | None, unit: str) -> str:
    if value is None:
        return formats.NO_DATA
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{_amount(abs(value), unit)}"
