"""Logging: a line of JSON each, or text for a terminal. A log has names and reasons, never a document or a password."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

__all__ = ["FIELDS", "FORMATS", "Json", "configure"]

FORMATS = ("json", "text")
# What a message may carry besides its text (`extra=`); nothing else gets out.
FIELDS = ("session", "reason", "seconds")


class Json(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, fields, and the error where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        about = getattr(record, "k8s_ref", None)  # kopf's own way to say whose message it is
        if isinstance(about, dict) and about.get("name"):
            line.setdefault("session", about["name"])
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        fields = " ".join(f"{name}={getattr(record, name)}" for name in FIELDS if hasattr(record, name))
        return f"{text} {fields}".rstrip()


def configure(form: str, stream: TextIO = sys.stderr) -> None:
    """Log to a stream.

    :param form: one of :data:`FORMATS`.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # At info kopf has a line for every event that it hands on.
    logging.getLogger("kopf").setLevel(logging.WARNING)
