"""Fields of a document, read so that every complaint says where. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from vdi_operator.api.durations import seconds

__all__ = ["Part"]

_Choice = TypeVar("_Choice", bound=StrEnum)


class Part:
    """An object inside a document. A field that is null counts as absent, as the API server has it.

    :param path: where it is, such as ``spec.display``, empty: the document itself.
    :raises ValueError: it is no object.
    """

    def __init__(self, value: object, path: str = "") -> None:
        self._value: Mapping[str, Any] = _of_type(value, Mapping, path or "the document", "an object")
        self._path = path

    def part(self, name: str) -> Part:
        """An object in it, absent: an empty one."""
        value = self._value.get(name)
        return Part({} if value is None else value, self._where(name))

    def has(self, name: str) -> bool:
        """Whether a field is there."""
        return self._value.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Text.

        :raises ValueError: it is something else, or absent without a default.
        """
        value = self._value.get(name, default)
        if value is None and default is None:
            raise ValueError(f"{self._where(name)} is missing")
        return str(_of_type(default if value is None else value, str, self._where(name), "text"))

    def whole(self, name: str, default: int) -> int:
        """A whole number.

        :raises ValueError: it is none.
        """
        value = self._value.get(name)
        if isinstance(value, bool):  # Python counts with them
            value = str(value)
        return int(_of_type(default if value is None else value, int, self._where(name), "a whole number"))

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no.

        :raises ValueError: it is neither.
        """
        value = self._value.get(name)
        return bool(_of_type(default if value is None else value, bool, self._where(name), "true or false"))

    def texts(self, name: str, default: Mapping[str, str]) -> dict[str, str]:
        """Texts by keys; given ones take the place of all default ones.

        :raises ValueError: it is no object, or one of them is no text.
        """
        if self._value.get(name) is None:
            return dict(default)
        part = self.part(name)
        return {key: part.text(key) for key in part._value}

    def choice(self, name: str, default: _Choice) -> _Choice:
        """One of a closed list.

        :raises ValueError: it is not in the list.
        """
        text = self.text(name, default)
        try:
            return type(default)(text)
        except ValueError:
            raise ValueError(f"{self._where(name)} is {text!r}, known are {', '.join(type(default))}") from None

    def duration(self, name: str) -> float | None:
        """Seconds of a duration, None: absent.

        :raises ValueError: it is none.
        """
        if self._value.get(name) is None:
            return None
        try:
            return seconds(self.text(name))
        except ValueError as error:
            raise ValueError(f"{self._where(name)}: {error}") from None

    def _where(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _of_type(value: object, wanted: type, where: str, what: str) -> Any:
    if not isinstance(value, wanted):
        raise ValueError(f"{where} is {value!r}, it must be {what}")
    return value
