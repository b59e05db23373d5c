"""``python -m vdibench.tether PARENT MODULE [ARGUMENT]...``: run a module that ends when its parent does.

Imports next to nothing, so that it costs nothing. Linux kills the process the moment its parent is gone, however that
happened; elsewhere a thread looks once a second.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 1.0


def main(arguments: list[str]) -> None:
    """Tie this process to the parent named first and become the module named second."""
    parent, module = int(arguments[0]), arguments[1]
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        return  # it was gone before we could be tied to it
    sys.argv = [module, *arguments[2:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)  # no event tells of it on these systems
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
