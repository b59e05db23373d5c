"""Credentials for a desktop that is not ours: from the environment or a file, never from arguments."""

from __future__ import annotations

import os
from pathlib import Path

from vdibench.errors import UsageError
from vdibench.records import Credentials

__all__ = ["PASSWORD_VARIABLE", "TOKEN_VARIABLE", "credentials", "password_from", "session_token"]

PASSWORD_VARIABLE = "VDIBENCH_PASSWORD"
TOKEN_VARIABLE = "VDIBENCH_TOKEN"


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


def session_token(token_file: str = "") -> str:
    """The session token for a desktop in secure mode; empty when none was given.

    :raises UsageError: a token file that cannot be read or is empty, or what cannot be a token.
    """
    token = (_first_line(token_file, "token file") if token_file else os.environ.get(TOKEN_VARIABLE, "")).strip()
    if token_file and not token:
        raise UsageError(f"token file {token_file} is empty", "put the token into its first line")
    if not token.isprintable() or any(sign.isspace() for sign in token):
        raise UsageError("the session token holds spaces or control characters", "give the token alone")
    return token


def password_from(file: str) -> str:
    """The password in a file: its first line, as secret mounts and systemd credentials have it.

    :raises UsageError: it cannot be read.
    """
    return _first_line(file, "password file")


def _first_line(file: str, what: str) -> str:
    try:
        return Path(file).read_text().split("\n", 1)[0]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {what} {file}: {error}", "check path and mode") from error
