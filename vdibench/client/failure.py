"""What went wrong in a session's own work, as one of our errors. Pure."""

from __future__ import annotations

import aiohttp

from vdibench.errors import Disconnected, VdibenchError

__all__ = ["as_our_error"]


def as_our_error(error: BaseException) -> VdibenchError:
    """``error`` itself where it is ours; else what it means to the user, a broken connection or a defect."""
    if isinstance(error, VdibenchError):
        return error
    if isinstance(error, OSError | aiohttp.ClientError):
        return Disconnected(f"the session broke: {error}", "look into the desktop's log and proxies between")
    return VdibenchError(f"the client failed: {error!r}", "report this as a defect of vdibench")
