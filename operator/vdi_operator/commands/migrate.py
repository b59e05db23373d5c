"""``vdi-operator migrate``: have every stored object in the version that the definitions store now. I/O.

The API server writes an object in the present storage version whenever it is written, so each is written as it is; what
is so already is not written again. Done by a person with that person's rights: the operator has none on definitions.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from vdi_operator.api.objects import GROUP, Kind
from vdi_operator.api.schema import definitions
from vdi_operator.cluster import errors
from vdi_operator.cluster.access import Access
from vdi_operator.cluster.kube import Client
from vdi_operator.commands.connection import CommandFailed, connect, context_options, telling

__all__ = ["Plan", "command", "plan", "storage_hash"]

_EVERYWHERE = "all namespaces"
_KNOWN_SECONDS, _LOOK_SECONDS = 30.0, 0.5
# Lists that go stale while they are worked through: begun again so often.
_LISTS = 5


class _Definition(Kind):
    """CustomResourceDefinitions, which have no namespace."""

    __slots__ = ()

    def path(self, namespace: str, name: str = "") -> str:
        """Path below the API server's root; the namespace counts for nothing."""
        path = f"/apis/{self.api_version}/{self.plural}"
        return f"{path}/{name}" if name else path


class _Everywhere(Kind):
    """A kind in all namespaces: an object is named ``NAMESPACE/NAME``."""

    __slots__ = ()

    def path(self, namespace: str, name: str = "") -> str:
        """Path below the API server's root; the client's own namespace counts for nothing."""
        if not name:
            return f"/apis/{self.api_version}/{self.plural}"
        place, _, one = name.partition("/")
        return super().path(place, one)


class _Discovery(Kind):
    """What the API server says of a version of the group."""

    __slots__ = ()

    def path(self, namespace: str, name: str = "") -> str:
        """Path below the API server's root."""
        return f"/apis/{self.api_version}"


_DEFINITIONS = _Definition("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done of a definition.

    :param target: the version that is stored now.
    :param stored: versions that objects may be stored as, by the API server's own record.
    """

    name: str
    kind: str
    plural: str
    target: str
    stored: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether nothing is stored otherwise."""
        return self.stored == (self.target,)


@dataclass(slots=True)
class _Count:
    looked_at: int = 0
    rewritten: int = 0
    refused: list[str] = field(default_factory=list)


@click.command("migrate")
@context_options
@click.option("--dry-run", is_flag=True, help="Ask the API server what it would say, and write nothing.")
def command(context: str, kubeconfig: Path | None, dry_run: bool) -> None:
    """Rewrite all VDITemplates and VDISessions in the version that is stored now, and have the record say so.

    Needed once after an upgrade of the definitions to a new storage version, and before a version may go. Sessions and
    desktops notice nothing. It can be interrupted and run again. You need the right to get definitions and patch their
    status, and to list and patch templates and sessions of all namespaces.
    """
    refused = asyncio.run(_migrate(connect(kubeconfig, context), dry=dry_run))
    if refused:
        raise CommandFailed(
            f"{refused} objects are not taken as they are: correct them (kubectl edit), then run this again; "
            "until then the old version has to stay in the definition"
        )


async def _migrate(access: Access, *, dry: bool) -> int:
    refused = 0
    async with Client(access, "") as client:
        for one in definitions():
            name = str(one["metadata"]["name"])
            found = await _plan_of(client, name)
            if found.done:
                click.echo(f"{name}: all are stored as {found.target}")
                continue
            click.echo(f"{name}: stored as {', '.join(found.stored)}; to be {found.target}")
            await _known(client, found)
            count = await _rewrite(client, found, dry=dry)
            refused += len(count.refused)
            if dry:
                click.echo(f"{name}: {count.looked_at - len(count.refused)} would be taken; nothing was written")
            elif not count.refused:
                await _record(client, found)
                click.echo(f"{name}: all {count.looked_at} are stored as {found.target}")
    return refused


async def _plan_of(client: Client, name: str) -> Plan:
    """What a definition of the cluster asks for.

    :raises CommandFailed: there is none, or it may not be read.
    """
    with telling(f"CustomResourceDefinition {name}", _EVERYWHERE):
        try:
            return plan(await client.get(_DEFINITIONS, name))
        except errors.NotFound as error:
            raise CommandFailed(f"the cluster has no definition {name}: nothing of it is stored") from error


def plan(definition: Mapping[str, Any]) -> Plan:
    """What a definition, as the cluster has it, asks for. Pure."""
    spec, status = definition["spec"], definition.get("status") or {}
    (target,) = (str(one["name"]) for one in spec["versions"] if one.get("storage"))
    return Plan(
        str(definition["metadata"]["name"]),
        str(spec["names"]["kind"]),
        str(spec["names"]["plural"]),
        target,
        tuple(str(one) for one in status.get("storedVersions") or ()),
    )


def storage_hash(kind: str, version: str) -> str:
    """How discovery says which version is stored. Pure."""
    digest = hashlib.sha256(f"{GROUP}/{version}/{kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


async def _known(client: Client, found: Plan) -> None:
    """Return when the API server itself knows that this version is stored: a definition is followed with a delay.

    :raises CommandFailed: it does not.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _KNOWN_SECONDS
    while True:
        with telling(f"version {found.target} of {GROUP}", _EVERYWHERE):
            listed = await client.get(_Discovery(f"{GROUP}/{found.target}", "APIResourceList", ""), "")
        said = [one.get("storageVersionHash") for one in listed.get("resources") or () if one["name"] == found.plural]
        if said == [storage_hash(found.kind, found.target)]:
            return
        if loop.time() > deadline:
            raise CommandFailed(
                f"{found.name}: the API server does not say that it stores {found.target} after "
                f"{_KNOWN_SECONDS:g} s: look at the definition's conditions, then run this again"
            )
        await asyncio.sleep(_LOOK_SECONDS)  # it comes within seconds, and no watch tells


async def _rewrite(client: Client, found: Plan, *, dry: bool) -> _Count:
    """Write every object as it is.

    :raises CommandFailed: they cannot be listed, or the API server does not answer.
    """
    kind = _Everywhere(f"{GROUP}/{found.target}", found.kind, found.plural)
    for _ in range(_LISTS):
        count = _Count()
        try:
            with telling(found.plural, _EVERYWHERE):
                async for page, _ in client.pages(kind):
                    for one in page:
                        await _touch(client, kind, one["metadata"], count, dry=dry)
                    said = "" if dry else f", {count.rewritten} of them written anew"
                    click.echo(f"{found.name}: {count.looked_at} looked at{said}")
        except CommandFailed as error:
            if isinstance(error.__cause__, errors.Gone):
                continue
            raise
        return count
    raise CommandFailed(f"{found.name}: the list went stale {_LISTS} times: run this again when less is going on")


async def _touch(client: Client, kind: Kind, metadata: Mapping[str, Any], count: _Count, *, dry: bool) -> None:
    name, version = f"{metadata['namespace']}/{metadata['name']}", metadata["resourceVersion"]
    count.looked_at += 1
    try:
        made = await client.merge(
            kind, name, {"metadata": {"uid": metadata["uid"], "resourceVersion": version}}, dry=dry
        )
        count.rewritten += made["metadata"]["resourceVersion"] != version
    except (errors.Conflict, errors.NotFound):
        pass  # somebody wrote it since, which stored it anew, or it is gone
    except (errors.Invalid, errors.Forbidden) as error:
        count.refused.append(name)
        click.echo(f"{kind.name} {name} is not taken as it is: {error.message}", err=True)


async def _record(client: Client, found: Plan) -> None:
    """Have the definition's record name this version alone.

    :raises CommandFailed: another version is stored by now, or it may not be changed.
    """
    with telling(f"status of CustomResourceDefinition {found.name}", _EVERYWHERE):
        stored = await client.get(_DEFINITIONS, found.name)
        if plan(stored).target != found.target:
            raise CommandFailed(f"{found.name} stores {plan(stored).target} by now: run this again")
        # Of that very state: whoever changes the definition meanwhile has it refused.
        body = {
            "metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]},
            "status": {"storedVersions": [found.target]},
        }
        await client.merge_status(_DEFINITIONS, found.name, body)
