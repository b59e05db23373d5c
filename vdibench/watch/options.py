"""How to watch: what the command line says, checked. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vdibench.errors import UsageError
from vdibench.links import LinkProfile
from vdibench.records import Endpoint

__all__ = ["ListenAddress", "WatchOptions", "parse_listen"]

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where Prometheus asks; port 0 is any free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What to watch, and how.

    :param take_control: join as controller instead of as viewer.
    :param send_input: press a key or click once a second; only as controller.
    :param duration_seconds: end by itself so long after the first picture; None for never.
    :param count: end by itself after so many readings; None for never.
    :param reconnect: connect again when the stream is lost or cannot be had.
    :param link: the network to watch over; None for the one there is.
    :raises UsageError: values that cannot be.
    """

    endpoint: Endpoint
    take_control: bool = False
    send_input: bool = False
    relay_only: bool = False
    interval_seconds: float = 1.0
    duration_seconds: float | None = None
    count: int | None = None
    reconnect: bool = False
    link: LinkProfile | None = None

    def __post_init__(self) -> None:
        if self.send_input and not self.take_control:
            raise UsageError("--input sends key presses and clicks, which a viewer may not", "add --take-control")


def parse_listen(text: str) -> ListenAddress:
    """Read ``[HOST]:PORT``; without a host it is loopback, so that nobody else can ask.

    :raises UsageError: another form.
    """
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in bare and not host.startswith("[")):
        raise UsageError(f"{text!r} is not an address to listen at", "give :PORT, HOST:PORT or [IPV6]:PORT")
    return ListenAddress(bare or _LOOPBACK, int(port))
