"""What a suite's sessions were, as its run states it for comparisons. Pure; text values.

Asked for: client mode, link, picture, rate, workload, scenario, sharing. Found, as the sessions recorded it: encoder,
codec, picture and reception, and the GPUs where they were not this host's. ``vdibench.analysis.metadata`` holds two
runs' against each other.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from vdibench.client import Mode
from vdibench.metrics import PROBE
from vdibench.records.gpus import scraped_gpus
from vdibench.suites.parameters import DesktopParameters, RunParameters

__all__ = ["conditions"]

_FOUND = {
    "encoder": ("stream.encoder",),
    "encoder_hardware": ("stream.hardware",),
    "codec": ("stream.codec", "video.codec"),
    "picture_size": ("picture.size",),
    "reception": ("reception",),
}


def conditions(parameters: RunParameters, facts: pd.DataFrame) -> dict[str, Any]:
    """What was asked of the sessions of one suite, and what they turned out to be.

    :param facts: the suite's rows of that table.
    """
    asked: dict[str, Any] = {}
    if isinstance(parameters, DesktopParameters):
        asked = {
            "client_mode": str(getattr(parameters, "client_mode", getattr(parameters, "mode", Mode.DECODE))),
            "link": getattr(parameters, "links", "") or "direct",
            "width": parameters.width,
            "height": parameters.height,
            "framerate": parameters.framerate,
            "workload": parameters.workload,
        }
    asked |= {name: getattr(parameters, name) for name in ("scenario", "sharing") if hasattr(parameters, name)}
    said = facts[facts["phase"] != PROBE]  # what a probe met is not what was measured
    found = {name: _answers(said, keys) for name, keys in _FOUND.items()} | {"gpu_model": _models(facts)}
    return asked | {name: answers for name, answers in found.items() if answers}


def _models(facts: pd.DataFrame) -> str:
    """Of the GPUs that figures were scraped of, by name; empty where the host's own were read."""
    gpus = scraped_gpus(zip(facts["key"], facts["value"], strict=True)) or {}
    return ", ".join(sorted(gpu.model for gpu in gpus.values() if gpu.whole and gpu.model))


def _answers(facts: pd.DataFrame, keys: tuple[str, ...]) -> str:
    """What sessions said under the first of ``keys`` that any knows, several answers with ``/`` between."""
    for key in keys:
        if answers := sorted({str(value) for value in facts.loc[facts["key"] == key, "value"]}):
            return " / ".join(answers)
    return ""
