"""Tables about the run itself: what was measured where, with what, and how long it took. Pure."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from vdibench.records import Run
from vdibench.records.gpus import scraped_gpus
from vdibench.report import formats
from vdibench.report.evidence import Evidence, Source

__all__ = [
    "clock_text",
    "command",
    "facts_table",
    "measured_table",
    "parameters_table",
    "phases_table",
    "versions_table",
]

_PAIR = ["", "value"]
_MOST_VALUES = 6
_PORT = re.compile(r"(?<=[\d\]]):\d+\b")
_NOT_COMPARED_SECONDS = 3600.0


def measured_table(source: Source) -> pd.DataFrame:
    """Target, dialect, encoder, picture, host and GPU, one row each."""
    evidence = Evidence.of(source)
    run = evidence.run
    if run is None:
        return pd.DataFrame(columns=_PAIR)
    host = run.host
    rows = [
        ["target", formats.clean(run.target)],
        ["profile", formats.clean(run.profile)],
        ["dialect", _known(run.context.get("dialect")) or _fact(evidence, "dialect")],
        ["encoder in use", _encoder(evidence)],
        ["video codec", _fact(evidence, "video.codec", "stream.codec")],
        ["picture asked for", _picture(run)],
        ["picture decoded", _fact(evidence, "picture.size")],
        ["path", _paths(evidence)],
        ["GPU", _gpu(run, evidence)],
        ["processor", _joined(host.get("cpu_model"), _cores(host))],
        ["memory", _memory(host)],
        ["system", _joined(host.get("distribution"), host.get("kernel"), host.get("virtualisation"))],
        ["clock", _joined(run.host.get("clock_source"), clock_text(run))],
        ["load before the run", _before(host)],
        ["started", formats.instant(run.started_unix_seconds)],
        ["lasted", _lasted(run)],
        ["git commit", formats.clean(run.git_commit) or formats.NO_DATA],
    ]
    if encoder := _known(run.context.get("encoder")):
        rows.insert(3, ["encoder asked for", encoder])
    if evidence.synthetic:
        rows.insert(1, ["load", "synthetic: a recorded trace was replayed, no desktop was measured"])
    if any(values.get("insecure") for values in run.parameters.values() if isinstance(values, Mapping)):
        rows.insert(2, ["certificates", "not checked: any was accepted (insecure)"])
    return pd.DataFrame(rows, columns=_PAIR)


def versions_table(run: Run) -> pd.DataFrame:
    """Versions of vdibench, Python and the libraries."""
    rows = [[formats.clean(name), formats.clean(version)] for name, version in sorted(run.versions.items())]
    return pd.DataFrame(rows, columns=["part", "version"])


def parameters_table(run: Run) -> pd.DataFrame:
    """The parameters in force, one row each."""
    rows = [
        [formats.clean(suite), formats.clean(name), _text(value)]
        for suite, values in run.parameters.items()
        for name, value in (values.items() if isinstance(values, Mapping) else ())
    ]
    return pd.DataFrame(rows, columns=["suite", "parameter", "value"])


def phases_table(run: Run) -> pd.DataFrame:
    """How long each stretch of the run took."""
    rows = [
        [formats.clean(phase.name), formats.duration(phase.seconds), formats.clean(phase.note)] for phase in run.phases
    ]
    if rows and run.ended_unix_seconds is not None:
        whole = formats.duration(run.ended_unix_seconds - run.started_unix_seconds)
        rows.append(["from start to end of the run", whole, "phases may lie inside each other or before the start"])
    return pd.DataFrame(rows, columns=["phase", "took", "note"])


def facts_table(source: Source) -> pd.DataFrame:
    """What sessions said of themselves; equal answers of many sessions are one row."""
    facts = Evidence.of(source).tables["facts"]
    rows = []
    for (suite, key, value), group in facts.groupby(["suite", "key", "value"], sort=True):
        names = sorted(str(name) for name in group["session"].unique())
        who = ", ".join(formats.shorten(name, 24) for name in names[:_MOST_VALUES])
        more = f" and {len(names) - _MOST_VALUES} more" if len(names) > _MOST_VALUES else ""
        rows.append([formats.clean(suite), formats.clean(key), formats.clean(value), who + more])
    return pd.DataFrame(rows, columns=["suite", "fact", "value", "said by"])


def command(run: Run) -> str:
    """The command that makes such a run again, as it was recorded or as it can be told from the run."""
    recorded = run.context.get("command")
    if isinstance(recorded, str) and recorded.strip():
        return formats.clean(recorded).strip()
    notebooks = [] if run.suite == "pipeline" else [run.suite]
    target = "lab" if run.target.partition(":")[0] == "lab" else run.target
    return shlex.join(["vdibench", "run", *notebooks, "--target", target, "--profile", run.profile])


def _known(value: object) -> str:
    return formats.clean(value) if value not in (None, "") else ""


def _joined(*parts: object) -> str:
    return ", ".join(_known(part) for part in parts if _known(part)) or formats.NO_DATA


def _fact(evidence: Evidence, *keys: str) -> str:
    facts = evidence.tables["facts"]
    for key in keys:
        found = facts.loc[facts["key"] == key, "value"].astype(str).unique()
        if len(found):
            more = f" and {len(found) - _MOST_VALUES} more" if len(found) > _MOST_VALUES else ""
            return " / ".join(formats.clean(value) for value in found[:_MOST_VALUES]) + more
    return formats.NO_DATA


def _encoder(evidence: Evidence) -> str:
    name = _fact(evidence, "stream.encoder")
    if name == formats.NO_DATA:
        return name
    facts = evidence.tables["facts"]
    said = {str(value).lower() for value in facts.loc[facts["key"] == "stream.hardware", "value"]}
    words = {
        "true": "hardware",
        "1": "hardware",
        "yes": "hardware",
        "false": "software",
        "0": "software",
        "no": "software",
    }
    kinds = sorted({words.get(value, value) for value in said})
    return f"{name} ({' and '.join(kinds) if kinds else 'hardware or software: no data'})"


def _paths(evidence: Evidence) -> str:
    """The kinds of candidate pairs in use, without ports: every session has others."""
    facts = evidence.tables["facts"]
    pairs = [_PORT.sub("", formats.clean(pair)) for pair in facts.loc[facts["key"] == "ice.pair", "value"]]
    counted = Counter(pairs).most_common(_MOST_VALUES)
    return "; ".join(f"{pair} ({formats.counted(count, 'connection')})" for pair, count in counted) or formats.NO_DATA


def _picture(run: Run) -> str:
    found = set()
    for values in run.parameters.values():
        if isinstance(values, Mapping) and {"width", "height"} <= values.keys():
            rate = values.get("framerate") or run.context.get("framerate")
            found.add(f"{values['width']}×{values['height']}" + (f" at {rate} /s" if rate else ""))
    if not found and run.context.get("width") and run.context.get("height"):
        found.add(f"{run.context['width']}×{run.context['height']}")
    if not found and run.context.get("framerate"):
        found.add(f"{run.context['framerate']} /s")
    return formats.clean(" / ".join(sorted(found))) or formats.NO_DATA


def _gpu(run: Run, evidence: Evidence) -> str:
    if not run.context.get("gpu"):
        return "no GPU in this profile"
    facts = evidence.tables["facts"]
    scraped = scraped_gpus(zip(facts["key"], facts["value"], strict=True))
    if scraped is not None:
        sizes = Counter((gpu.model or "GPU", gpu.frame_buffer_bytes) for gpu in scraped.values() if gpu.whole)
        common = sizes.most_common(_MOST_VALUES)
        told = [f"{count} × {model} ({formats.data(size)})" for (model, size), count in common]
        return formats.clean(", ".join(told) + ", read by way of Prometheus")
    gpus = run.host.get("gpus") or []
    names = [
        f"{gpu.get('name', 'GPU')} ({formats.data(gpu.get('memory_bytes'))})"
        for gpu in gpus
        if isinstance(gpu, Mapping)
    ]
    driver = run.host.get("gpu_driver")
    if not names:
        return "no data: the profile has a GPU, none was seen on the measuring host"
    return formats.clean(", ".join(names) + (f", driver {driver}" if driver else ""))


def _cores(host: Mapping[str, Any]) -> str:
    usable, total = host.get("cpu_cores_usable"), host.get("cpu_cores")
    if usable is None and total is None:
        return ""
    if usable is None or usable == total:
        return f"{total:g} cores"
    return f"{usable:g} of {total:g} cores usable" if total is not None else f"{usable:g} cores usable"


def _before(host: Mapping[str, Any]) -> str:
    load = host.get("load_average_1m")
    return f"{load:.2f} runnable tasks (1 min average)" if load is not None else formats.NO_DATA


def _memory(host: Mapping[str, Any]) -> str:
    limit = host.get("memory_limit_bytes")
    text = formats.data(host.get("memory_bytes"))
    return f"{text}, limited to {formats.data(limit)}" if limit else text


def clock_text(run: Run) -> str:
    """How far the clocks of desktop and client may be apart: what one-way values may be wrong by."""
    bound = run.context.get("clock_bound_seconds")
    if not isinstance(bound, int | float):
        return "offset between desktop and client: no data"
    if bound == 0:
        return "desktop and client share this host's clock: no offset"
    if bound >= _NOT_COMPARED_SECONDS:
        return "the clocks of desktop and client were not compared: a one-way latency may be wrong by any amount"
    return f"desktop and client agree within {formats.seconds(float(bound))}"


def _lasted(run: Run) -> str:
    if run.ended_unix_seconds is None:
        return f"{formats.NO_DATA} (the run is {run.state})"
    return formats.duration(run.ended_unix_seconds - run.started_unix_seconds)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return formats.clean(value)
