"""Credentials for a desktop that is not ours: from the environment or a file, never from arguments."""

from __future__ import annotations

import os
from pathlib import Path

from vdibench.errors import UsageError
from vdibench.records import Credentials

__all__ = ["PASSWORD_VARIABLE", "credentials", "password_from"]

PASSWORD_VARIABLE = "VDIBENCH_PASSWORD"


def credentials(user: str, password_file: str = "") -> Credentials | None:
    """Credentials for ``user``; None when neither a user nor a password was given.

    :raises UsageError: a user without a password, or a password file that cannot be read.
    """
    password = password_from(password_file) if password_file else os.environ.get(PASSWORD_VARIABLE, "")
    if not user and not password:
        return None
    if not user:
        raise UsageError("a password was given without a user", "give --user")
    if not password:
        raise UsageError(f"no password for user {user!r}", f"set {PASSWORD_VARIABLE} or give --password-file")
    return Credentials(user, password)


def password_from(file: str) -> str:
    """The password in a file: its first line, as secret mounts and systemd credentials have it.

    :raises UsageError: it cannot be read.
    """
    try:
        return Path(file).read_text().split("\n", 1)[0]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read password file {file}: {error}", "check path and mode") from error
