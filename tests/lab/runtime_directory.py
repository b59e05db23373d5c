"""A runtime directory of the tests' own, for folders whose tests bring labs up."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def runtime_directory() -> Iterator[Path]:
    """Labs keep their state here meanwhile; its path is short enough for sockets, and nothing of a lab may stay."""
    root = Path(tempfile.mkdtemp(prefix="vdibench-test-"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(root)
    yield root
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before
    # Other programs of the session (a browser, say) may keep state in a runtime directory too.
    remains = list((root / "vdibench" / "labs").rglob("*"))
    shutil.rmtree(root)
    assert not remains, f"the labs of the tests left {remains}"
