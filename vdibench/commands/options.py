"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["access_options"]

F = TypeVar("F", bound=Callable[..., Any])


def access_options(command: F) -> F:
    """How a URL's desktop is reached: ``user``, ``password_file``, ``ca_file``, ``insecure``."""
    for option in reversed(
        (
            click.option(
                "--user",
                default="",
                envvar="VDIBENCH_USER",
                help="User of a URL's desktop; the password comes from VDIBENCH_PASSWORD or --password-file.",
            ),
            click.option("--password-file", default="", metavar="FILE", help="File whose first line is the password."),
            click.option("--ca-file", default="", metavar="FILE", help="PEM file of an own certificate authority."),
            click.option("--insecure", is_flag=True, help="Accept any certificate."),
        )
    ):
        command = option(command)
    return command
