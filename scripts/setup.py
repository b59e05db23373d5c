"""Prepare this checkout: system packages, then `.venv`. Needs nothing but the system's own Python.

`python3 scripts/setup.py [--for report|test]`; exit 0 ready, 1 something failed, 2 this Python will not do,
3 a person has to install packages, 130 interrupted. The syntax of this file stays readable for every Python 3, so
that an old one gets a sentence and not a traceback. The work is in `provision`.
"""

import os
import shutil
import sys

__all__ = ["main"]

OLDEST = (3, 11)
NEWEST_KNOWN = 14


def main():  # type: () -> int
    """Continue on a Python that is new enough, or say which one is missing."""
    if sys.version_info < OLDEST:
        for minor in range(NEWEST_KNOWN, OLDEST[1] - 1, -1):
            newer = shutil.which("python3." + str(minor))
            if newer:
                os.execv(newer, [newer, *sys.argv])
        sys.stderr.write(
            "set-up: Python {}.{} is too old, 3.11 or newer is needed: install python3.11 and "
            "python3.11-venv (or newer), or name one with `make PYTHON=/path/to/python3.11`\n".format(
                *sys.version_info[:2]
            )
        )
        return 2
    from provision.command import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
