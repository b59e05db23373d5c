"""What the commands of users share: a cluster by kubeconfig, errors as sentences, what is read for people. I/O.

They act with the rights of whoever calls them, and with nobody else's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click
import yaml

from vdi_operator.api.objects import Kind, Object
from vdi_operator.api.reasons import ConditionType
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster import errors
from vdi_operator.cluster.access import Access, from_kubeconfig
from vdi_operator.cluster.kube import REQUEST_SECONDS, Client
from vdi_operator.cluster.programs import NoCredential
from vdi_operator.settings import Settings

__all__ = [
    "VOLUME",
    "CommandFailed",
    "cluster_options",
    "connect",
    "context_options",
    "every",
    "log_tail",
    "ready",
    "telling",
]

_F = TypeVar("_F", bound=Callable[..., Any])

_LOG_BYTES = 64 * 1024
# The API server's words where a kind is unknown, or the path of one.
_NO_KIND = "could not find the requested resource"


class CommandFailed(click.ClickException):
    """One line with cause and remedy; exit code 1."""


class _WideKind(Kind):
    """A kind of no namespace."""

    __slots__ = ()

    def path(self, namespace: str, name: str = "") -> str:
        """Path below the API server's root; the namespace counts for nothing."""
        path = f"/api/{self.api_version}/{self.plural}"
        return f"{path}/{name}" if name else path


VOLUME = _WideKind("v1", "PersistentVolume", "persistentvolumes")


def cluster_options(function: _F) -> _F:
    """``--namespace``, ``--context`` and ``--kubeconfig`` of a command."""
    function = click.option(
        "-n",
        "--namespace",
        default=Settings().namespace,
        show_default=True,
        help="Namespace of the sessions.",
    )(function)
    return context_options(function)


def context_options(function: _F) -> _F:
    """``--context`` and ``--kubeconfig`` of a command that is of no namespace."""
    for option in (
        click.option(
            "--kubeconfig",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File with the context; by default the first of KUBECONFIG that has it, or ~/.kube/config.",
        ),
        click.option("--context", default="", metavar="NAME", help="Context of it; by default its current one."),
    ):
        function = option(function)
    return function


def connect(kubeconfig: Path | None, context: str) -> Access:
    """The API server of a context.

    :param kubeconfig: None: the usual places.
    :raises CommandFailed: no file has it, it cannot be used, or its program gives no credential.
    """
    faults = []
    for path in (kubeconfig,) if kubeconfig is not None else _usual():
        try:
            return from_kubeconfig(path, context)
        except NoCredential as error:
            raise CommandFailed(f"{path}: {error}") from error
        except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
            faults.append(" ".join(str(error).split()))
    raise CommandFailed(f"no cluster is known ({'; '.join(faults)}): give --kubeconfig FILE and --context NAME")


def _usual() -> tuple[Path, ...]:
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return tuple(named) or (Path.home() / ".kube" / "config",)


@contextmanager
def telling(what: str, namespace: str) -> Iterator[None]:
    """Turn what the API server refuses into a sentence.

    :param what: what is read or changed, such as ``VDISession alice``.
    :raises CommandFailed: it was refused.
    """
    try:
        yield
    except errors.ApiError as error:
        raise CommandFailed(_sentence(error, what, namespace)) from error


def _sentence(error: errors.ApiError, what: str, namespace: str) -> str:
    if isinstance(error, errors.NotFound):
        if _NO_KIND in error.message:
            return (
                f"the cluster does not know the kind of {what}: install the operator's definitions "
                "(vdi-operator crds | kubectl apply --server-side -f -)"
            )
        return f"there is no {what} in namespace {namespace}: check the name, and --namespace"
    if isinstance(error, errors.Forbidden):
        return f"you may not: {error.message}: ask an administrator for this right"
    if isinstance(error, errors.Unauthorized):
        return f"the cluster does not let you in ({error.message}): check the user of the context"
    if isinstance(error, errors.Unavailable) and not error.code:
        said = error.message or error.reason
        return f"the cluster does not answer ({said}): check the server of the context, and the way to it"
    return f"{what}: {error}"


def ready(session: Mapping[str, Any]) -> Mapping[str, Any]:
    """The condition Ready of a session's document, empty before the operator looked at it."""
    for one in (session.get("status") or {}).get("conditions") or ():
        if one.get("type") == ConditionType.READY:
            return dict(one)
    return {}


async def every(client: Client, kind: Kind, *, labels: str = "", fields: str = "") -> list[Object]:
    """All objects of a kind.

    :param labels, fields: selectors.
    :raises ApiError: they cannot be listed.
    """
    return [one async for page, _ in client.pages(kind, labels=labels, fields=fields) for one in page]


async def log_tail(
    access: Access, namespace: str, pod: str, container: str, lines: int, *, previous: bool = False
) -> list[str]:
    """The last lines of a container's log.

    :param previous: of the container before the last restart.
    :raises ApiError: it cannot be read.
    """
    what = f"get pods/log {pod}"
    params = {"container": container, "tailLines": str(lines), "limitBytes": str(_LOG_BYTES)}
    if previous:
        params["previous"] = "true"
    url = access.server + KINDS["Pod"].path(namespace, pod) + "/log"
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    try:
        async with access.session() as http, http.get(url, params=params, timeout=timeout) as response:
            body = await response.read()
            if response.status != 200:
                raise errors.of_answer(what, response.status, body, response.headers)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise errors.Unavailable(what, 0, type(error).__name__, str(error)) from error
    return body.decode(errors="replace").splitlines()
