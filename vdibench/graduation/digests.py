"""SHA-256 of what evidence speaks of: objects, a template's spec, a chart's files. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "CHART_PREFIX",
    "ENVELOPE_FILE",
    "EVIDENCE_FILE",
    "GRADUATED",
    "OPERATIONAL",
    "chart_digests",
    "objects_digest",
    "spec_digest",
]

GRADUATED = "graduated"
# Names in the chart's folder of that name.
EVIDENCE_FILE = "evidence.json"
ENVELOPE_FILE = "evidence.dsse.json"
# How names of subjects begin that are files of the chart.
CHART_PREFIX = "chart/"
# As the operator has them: they say when desktops run and not what they are, and are a site's own.
OPERATIONAL = frozenset({"idleTimeout", "prepull", "priorityClassName", "warmSlots"})


def objects_digest(objects: Iterable[Mapping[str, Any]]) -> str:
    """Of a set of objects, in whatever order they come and however their YAML is laid out."""
    # A YAML date is no type of JSON: it counts as the text that it is.
    texts = sorted(json.dumps(one, sort_keys=True, separators=(",", ":"), default=str) for one in objects)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def spec_digest(spec: Mapping[str, Any]) -> str:
    """Of what a template's ``spec`` says of desktops, as JSON without blanks, keys sorted: the operator's own."""
    made = {name: value for name, value in spec.items() if name not in OPERATIONAL}
    text = json.dumps(made, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Half a surrogate pair is no text for UTF-8, but a JSON document may hold one.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def chart_digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Of a chart's files, by the name of the subject that each is.

    :param files: by path below the chart; the evidence itself is left out.
    """
    own = {f"{GRADUATED}/{name}" for name in (EVIDENCE_FILE, ENVELOPE_FILE)}
    return {
        f"{CHART_PREFIX}{path}": hashlib.sha256(data).hexdigest() for path, data in files.items() if path not in own
    }
