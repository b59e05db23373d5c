"""Which stages of a frame's way a run can tell apart, and why it cannot tell the others. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from vdibench.metrics import REGISTRY, Presence, values
from vdibench.report import formats
from vdibench.report.evidence import Evidence

__all__ = ["INPUT_LABELS", "LABELS", "Part", "Way", "absence", "dialect", "frame_way", "input_parts", "lacking", "word"]

LABELS = {
    "draw_to_capture_seconds": "draw → capture",
    "capture_to_encoded_seconds": "capture → encoded",
    "encoded_to_sent_seconds": "encoded → sent",
    "sent_to_arrival_seconds": "sent → arrived (network)",
    "first_to_last_packet_seconds": "first → last packet (inside the network)",
    "draw_to_arrival_seconds": "draw → arrived",
    "capture_to_arrival_seconds": "capture → arrived",
    "arrival_to_assembled_seconds": "arrived → assembled",
    "assembled_to_decoded_seconds": "assembled → decoded",
    "decode_seconds": "arrived → decoded",
    "glass_to_glass_seconds": "draw → decoded (whole)",
}
INPUT_LABELS = {
    "input_path_seconds": "input: sent → drawn",
    "picture_path_seconds": "picture: drawn → decoded",
    "input_to_photon_seconds": "sent → decoded (whole)",
}
# From the finest split to the coarsest: the first of which every stage was measured is what a run can tell.
_BEFORE = (
    ("draw_to_capture_seconds", "capture_to_encoded_seconds", "encoded_to_sent_seconds", "sent_to_arrival_seconds"),
    ("draw_to_capture_seconds", "capture_to_arrival_seconds"),
    ("draw_to_arrival_seconds",),
    ("capture_to_encoded_seconds", "encoded_to_sent_seconds", "sent_to_arrival_seconds"),
    ("capture_to_arrival_seconds",),
)
_AFTER = (("arrival_to_assembled_seconds", "assembled_to_decoded_seconds"), ("decode_seconds",))
NEEDS_MARKER = "needs desk"
_WHOLE = "glass_to_glass_seconds"
_LEAST_FRAMES = 20
_ENDS = {
    "draw_to_capture_seconds": ("marker", "capture"),
    "capture_to_encoded_seconds": ("capture", "encoded"),
    "encoded_to_sent_seconds": ("encoded", "sent"),
    "sent_to_arrival_seconds": ("sent", "arrival"),
    "draw_to_arrival_seconds": ("marker", "arrival"),
    "capture_to_arrival_seconds": ("capture", "arrival"),
    "arrival_to_assembled_seconds": ("arrival", "assembled"),
    "assembled_to_decoded_seconds": ("assembled", "decoded"),
    "decode_seconds": ("arrival", "decoded"),
}
_FINEST = (*_BEFORE[0], *_AFTER[0])


@dataclass(frozen=True, slots=True)
class Part:
    """A stage that was measured.

    :param metric: its name in the registry.
    :param values: raw seconds, one a frame or event.
    """

    metric: str
    label: str
    values: pd.Series


class Way(NamedTuple):
    """A frame's way in stages.

    :param whole: from drawing to decoding, of the same frames; None when it was not measured.
    :param told: frames that the stages rest on.
    :param frames: all frames.
    """

    parts: list[Part]
    whole: Part | None
    told: int
    frames: int


def dialect(evidence: Evidence, suite: str) -> str:
    """The dialect that a suite spoke, as the run or else its sessions say; empty when neither does."""
    said = evidence.run.context.get("dialect") if evidence.run is not None else None
    if isinstance(said, str) and said:
        return formats.clean(said)
    facts = evidence.rows("facts", suite, None)
    found = facts.loc[facts["key"] == "dialect", "value"].unique()
    return formats.clean(found[0]) if len(found) == 1 else ""


def word(evidence: Evidence, suite: str, metric: str) -> str:
    """What stands for a metric without values: no data, or not applicable where its dialect cannot have it."""
    absent = REGISTRY[metric].reach(dialect(evidence, suite)).presence is Presence.NOT_APPLICABLE
    return formats.NOT_APPLICABLE if absent else formats.NO_DATA


def absence(evidence: Evidence, suite: str, metric: str) -> str:
    """Why a metric has no values, in a few words."""
    reach = REGISTRY[metric].reach(dialect(evidence, suite))
    if reach.presence is not Presence.YES:
        return reach.note
    if reach.note == NEEDS_MARKER and evidence.values("glass_to_glass_seconds", suite).empty:
        return "no marker was read"
    return (
        "nothing was measured" if reach.note in ("", NEEDS_MARKER) else f"nothing was measured; it takes {reach.note}"
    )


def frame_way(evidence: Evidence, suite: str, *, level: int | None = None) -> Way:
    """The stages from drawing to decoding that a run can tell, in order, without gap or overlap.

    All are of the same frames: those that tell every stage. The sender says of some frames only when they were encoded,
    a few each second, so that slow seconds weigh more with them than with all frames; stages of unlike frames would
    not fit together.
    """
    frames = evidence.rows("frames", suite)
    if level is not None:
        frames = frames[frames["level"] == level]
    splits = [before + after for before in _BEFORE for after in _AFTER] + [*_BEFORE, *_AFTER]
    telling = [_telling(frames, names) for names in splits]
    # A split rests on as many frames as a percentile wants, or on as many as there are at most.
    least = max(1, min(_LEAST_FRAMES, max(map(len, telling))))
    for names, told in zip(splits, telling, strict=True):
        if len(told) >= least:
            return _way(evidence, told, suite, level, names, len(frames))
    return Way([], None, 0, len(frames))


def _telling(frames: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    points = dict.fromkeys(f"{point}_unix_seconds" for name in names for point in _ENDS[name])
    keep = frames["complete"] & frames[list(points)].notna().all(axis=1)
    return frames[keep & ~frames["marker_repeated"]] if names[0].startswith("draw_") else frames[keep]


def _way(
    evidence: Evidence, telling: pd.DataFrame, suite: str, level: int | None, names: Sequence[str], frames: int
) -> Way:
    tables = {**evidence.tables, "frames": telling}
    found = {name: values(name, tables, suite=suite, level=level) for name in (*names, _WHOLE)}
    whole = Part(_WHOLE, LABELS[_WHOLE], found[_WHOLE]) if names[0].startswith("draw_") and len(found[_WHOLE]) else None
    return Way([Part(name, LABELS[name], found[name]) for name in names], whole, len(telling), frames)


def input_parts(evidence: Evidence, suite: str, *, level: int | None = None) -> list[Part]:
    """The way of an input and that of the picture that answers it."""
    parts = [
        Part(name, label, evidence.values(name, suite, level=level))
        for name, label in INPUT_LABELS.items()
        if name != "input_to_photon_seconds"
    ]
    return parts if all(len(part.values) for part in parts) else []


def lacking(evidence: Evidence, suite: str, shown: Sequence[Part]) -> list[tuple[str, str]]:
    """The stages of the finest split that a run cannot tell: label, and why."""
    told = {part.metric for part in shown}
    return [
        (LABELS[name], f"{word(evidence, suite, name)}: {absence(evidence, suite, name)}")
        for name in _FINEST
        if name not in told
    ]
