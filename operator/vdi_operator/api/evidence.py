"""What a graduated VDITemplate says of the run that it comes from: its annotations as a value. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vdi_operator.api.objects import GROUP

__all__ = ["OPERATIONAL", "PREFIX", "Evidence", "digest"]

# Of every annotation that is evidence.
PREFIX = f"{GROUP}/evidence-"

# Fields of a template's spec that say when desktops run and not what they are: a site sets them as it likes, no
# evidence speaks of them, and no desktop is made anew for them.
OPERATIONAL = frozenset({"idleTimeout", "prepull", "priorityClassName", "warmSlots"})

# Without these it is none.
_NEEDED = ("run", "seal", "spec", "date", "expires", "lab")
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_BOUNDS = re.compile(r"([0-9]{1,4})\.\.([0-9]{1,4})?")
# RFC 3339 with a zone. Digits are spelled out: Python's \d is any script's.
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of which run a template is.

    :param seal, spec: SHA-256 of the run's seal and of the template's spec as it was graduated, in hex.
    :param bounds: of sessions on one GPU as the run found them; the upper one None: not found; None: not looked for.
    :param hardware: on which it ran, in words.
    :param lab: it ran in a lab, which says little of a site's own nodes.
    """

    run: str
    seal: str
    spec: str
    date_unix_seconds: float
    expires_unix_seconds: float
    lab: bool
    bounds: tuple[int, int | None] | None = None
    hardware: str = ""

    @classmethod
    def of(cls, annotations: Mapping[str, Any]) -> Evidence | None:
        """From the annotations of a template, None: none of them is evidence.

        :raises ValueError: one that is needed is missing beside others, or is not what it must be; the message names
            it.
        """
        found = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
        if not found:
            return None
        for name in _NEEDED:
            if not found.get(name):
                raise ValueError(f"annotation {PREFIX}{name} is missing beside the other evidence")
        return cls(
            run=str(found["run"]),
            seal=_sha256("seal", found["seal"]),
            spec=_sha256("spec", found["spec"]),
            date_unix_seconds=_moment("date", found["date"]),
            expires_unix_seconds=_moment("expires", found["expires"]),
            lab=_flag("lab", found["lab"]),
            bounds=_bounds("bounds", found.get("bounds")),
            hardware=str(found.get("hardware") or ""),
        )


def digest(spec: object) -> str:
    """SHA-256 of a template's spec as canonical JSON, in hex: what makes its desktops, in whatever order it is written.

    :data:`OPERATIONAL` fields are left out.
    """
    if isinstance(spec, Mapping):
        spec = {name: value for name, value in spec.items() if name not in OPERATIONAL}
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Lone surrogates are no text for UTF-8, but a JSON document may hold them.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _sha256(name: str, value: object) -> str:
    found = _SHA256.fullmatch(str(value))
    if found is None:
        raise ValueError(f"annotation {PREFIX}{name} is {value!r}, it must be a SHA-256 of 64 hexadecimal digits")
    return found[1]


def _moment(name: str, value: object) -> float:
    wrong = ValueError(f"annotation {PREFIX}{name} is {value!r}, it must be a time such as 2026-11-29T12:00:00Z")
    if not _MOMENT.fullmatch(str(value)):
        raise wrong
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        raise wrong from None


def _flag(name: str, value: object) -> bool:
    if value not in ("true", "false"):
        raise ValueError(f"annotation {PREFIX}{name} is {value!r}, it must be true or false")
    return value == "true"


def _bounds(name: str, value: object) -> tuple[int, int | None] | None:
    if not value:
        return None
    found = _BOUNDS.fullmatch(str(value))
    if found is None:
        raise ValueError(f"annotation {PREFIX}{name} is {value!r}, it must be bounds such as 8..9 or 8..")
    return int(found[1]), int(found[2]) if found[2] else None
