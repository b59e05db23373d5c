"""What the API server answers instead of what was asked for.

ApiError
├── Unauthorized       401
├── Forbidden          403   no right, a quota, Pod Security
├── NotFound           404
├── Conflict           409   stale resourceVersion, or another uid than the expected one
│   └── AlreadyExists
├── Gone               410   the watch's version is too old: list again
├── Invalid            422
├── TooManyRequests    429
└── Unavailable        5xx, no connection, no answer in time
"""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = [
    "AlreadyExists",
    "ApiError",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "NotFound",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "of_answer",
    "of_status",
]

_LONGEST = 1024


class ApiError(Exception):
    """An answer that is none of 2xx, or none at all.

    :param code: HTTP status, 0: no answer.
    :param reason: one word of the API server's, such as ``AlreadyExists``.
    :param message: its sentence.
    :param retry_after_seconds: how long it wants to be left alone.
    """

    def __init__(self, what: str, code: int, reason: str, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{what}: {code or 'no answer'} {reason}: {message}".replace(" : ", ": "))
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409."""


class AlreadyExists(Conflict):
    """409 to a creation."""


class Gone(ApiError):
    """410."""


class Invalid(ApiError):
    """422."""


class TooManyRequests(ApiError):
    """429."""


class Unavailable(ApiError):
    """5xx, or no answer."""


_BY_CODE: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def of_answer(what: str, code: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """From an HTTP answer; a body that is no Status document is taken as text."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        status = {"message": body[:_LONGEST].decode(errors="replace").strip()}
    return of_status(what, status | {"code": code}, headers.get("Retry-After", ""))


def of_status(what: str, status: Mapping[str, object], retry_after: str = "") -> ApiError:
    """From a Status document, as an answer or as a watch's ERROR event has it.

    :param retry_after: seconds, of the header; a date is ignored, the API server sends none.
    """
    code = status.get("code")
    code = code if isinstance(code, int) else 500
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")[:_LONGEST]
    kind = _BY_CODE.get(code, Unavailable if code >= 500 else ApiError)
    if kind is Conflict and reason == "AlreadyExists":
        kind = AlreadyExists
    details = status.get("details")
    if not retry_after and isinstance(details, Mapping):
        retry_after = str(details.get("retryAfterSeconds") or "")
    try:
        pause = max(0.0, float(retry_after or 0))
    except ValueError:
        pause = 0.0
    return kind(what, code, reason, message, pause)
