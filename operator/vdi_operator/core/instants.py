"""Instants as the API writes them (RFC 3339, UTC) and as the operator reckons (Unix seconds). Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["micro", "moment", "number", "second", "unix"]

_EPOCH = datetime.fromtimestamp(0, UTC)


def micro(unix_seconds: float) -> int:
    """Whole microseconds: as exact as a moment is written, and sums of them are exact."""
    return round(unix_seconds * 1_000_000)


def moment(unix_seconds: float) -> str:
    """With microseconds, always six digits of them: those of :func:`micro`, also once it was read."""
    # Not fromtimestamp(unix_seconds): it rounds otherwise, and what is computed of what was read would differ.
    return (_EPOCH + timedelta(microseconds=micro(unix_seconds))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def second(unix_seconds: float) -> str:
    """To the second below, as ``lastTransitionTime`` and most of Kubernetes write it."""
    return datetime.fromtimestamp(int(unix_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(text: object) -> float | None:
    """Of a text that an API server or an earlier pass wrote; None: it is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Without a zone it would be taken for this machine's.
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def number(microseconds: int) -> int | float:
    """Seconds as JSON has them: the API server gives whole ones back without a fraction, so none is written either."""
    whole, rest = divmod(microseconds, 1_000_000)
    return whole if rest == 0 else microseconds / 1_000_000
