"""What went wrong in a session's own work, as one of our errors. Pure."""

from __future__ import annotations

import aiohttp

from vdibench.errors import Disconnected, TargetUnavailable, VdibenchError
from vdibench.selkies import Dialect

__all__ = ["as_our_error", "no_picture"]

_DECODABLE = ("H264", "VP8")  # over RTP


def as_our_error(error: BaseException) -> VdibenchError:
    """``error`` itself where it is ours; else what it means to the user, a broken connection or a defect."""
    if isinstance(error, VdibenchError):
        return error
    if isinstance(error, OSError | aiohttp.ClientError):
        return Disconnected(f"the session broke: {error}", "look into the desktop's log and proxies between")
    return VdibenchError(f"the client failed: {error!r}", "report this as a defect of vdibench")


def no_picture(packets: int, codec: str, dialect: Dialect | None, when: str) -> TargetUnavailable:
    """What it means that no frame came, by what did: nothing, another codec, or packets that make no frame."""
    if not packets:
        cause = "the desktop connected but sends no video"
    elif codec not in _DECODABLE and dialect is not Dialect.SELKIES_2_WEBSOCKET:
        return TargetUnavailable(f"the desktop sends {codec or 'unknown'} video", "set SELKIES_ENCODER=h264enc there")
    else:
        cause = f"{packets} video packets came but no decodable frame"
    return TargetUnavailable(f"{cause} {when}", "check the desktop's encoder and its screen in its log")
