"""Defence in depth: no secret that the store was told of reaches a file. Pure.

Rooms keep secrets out of what they hand over; this is the net below them. A secret is also recognised
percent-encoded, JSON-escaped and inside base64 (a Basic ``Authorization`` header).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote

__all__ = ["REDACTED", "Redactor"]

REDACTED = "[redacted]"
# Below this length a secret may be an ordinary word: identifiers are then left alone.
_DISTINCTIVE = 8


def _base64_cores(secret: str) -> Iterable[str]:
    """The part of ``secret``'s base64 that does not depend on what stands around it, at each alignment."""
    raw = secret.encode()
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=").decode()
        first = -(-shift * 8 // 6)
        whole = (shift + len(raw)) * 8 // 6
        core = coded[first:whole]
        if len(core) >= _DISTINCTIVE:
            yield core
            yield core.replace("+", "-").replace("/", "_")


def _forms(secret: str) -> Iterable[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield from _base64_cores(secret)


class Redactor:
    """Finds and replaces the secrets it was made with.

    :param secrets: passwords, tokens, TURN credentials; empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if secret}
        self._forms = _longest_first(form for secret in known for form in _forms(secret))
        self._distinctive = _longest_first(
            form for secret in known if len(secret) >= _DISTINCTIVE for form in _forms(secret)
        )
        self._bytes = tuple(form.encode() for form in self._distinctive)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        """``text`` with every secret replaced by ``[redacted]``."""
        return _replaced(text, self._forms)

    def identifier(self, text: str) -> str:
        """The same for identifiers, where short secrets are left alone: they may be ordinary words."""
        return _replaced(text, self._distinctive)

    def bytes_leak(self, data: bytes) -> bool:
        """True when a secret of distinctive length stands in ``data`` as it is."""
        return any(form in data for form in self._bytes)

    def value(self, value: object) -> object:
        """A JSON-like value with the strings in it redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.identifier(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def _longest_first(forms: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(forms), key=lambda form: (-len(form), form)))


def _replaced(text: str, forms: tuple[str, ...]) -> str:
    for form in forms:
        if form in text:
            text = text.replace(form, REDACTED)
    return text
