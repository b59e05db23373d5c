"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["access_options"]

F = TypeVar("F", bound=Callable[..., Any])


def _say_aloud(_context: click.Context, _parameter: click.Parameter, insecure: bool) -> bool:
    if insecure:
        click.echo("vdibench: warning: certificates are not checked (--insecure)", err=True)
    return insecure


def access_options(command: F) -> F:
    """How a URL's desktop is reached: ``user``, ``password_file``, ``token_file``, ``ca_file``, ``insecure``."""
    for option in reversed(
        (
            click.option(
                "--user",
                default="",
                envvar="VDIBENCH_USER",
                help="User of a URL's desktop; the password comes from VDIBENCH_PASSWORD or --password-file.",
            ),
            click.option("--password-file", default="", metavar="FILE", help="File whose first line is the password."),
            click.option(
                "--token-file",
                default="",
                metavar="FILE",
                help="File with the session token of a desktop in secure mode; else it comes from VDIBENCH_TOKEN.",
            ),
            click.option(
                "--ca-file",
                default="",
                metavar="FILE",
                envvar="VDIBENCH_CA_FILE",
                help="PEM file of an own certificate authority.",
            ),
            click.option(
                "--insecure", is_flag=True, callback=_say_aloud, help="Accept any certificate, and say so each time."
            ),
        )
    ):
        command = option(command)
    return command
