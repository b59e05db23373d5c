"""The marker program that runs inside a desktop, as one file to copy there.

No I/O. Whoever prepares a desktop may use it; the file itself imports nothing of vdibench.
"""

from pathlib import Path

__all__ = ["DESK_FILE"]

DESK_FILE = Path(__file__).with_name("desk.py")
"""Copy this file into any image with Python 3.9 or later and run it: it needs nothing else."""
