"""``vdi-operator purge-home``: delete a user's home, by a person and with that person's rights. I/O.

The operator itself never deletes a home, and neither does an uninstall of its chart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from vdi_operator.api.objects import Object
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster import errors
from vdi_operator.cluster.access import Access
from vdi_operator.cluster.kube import Client
from vdi_operator.commands.connection import VOLUME, CommandFailed, cluster_options, connect, every, telling

__all__ = ["command", "description", "holders", "remainder"]

_LOOK_SECONDS, _GONE_SECONDS = 0.5, 30.0
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_CLAIM = KINDS["PersistentVolumeClaim"]


@click.command("purge-home")
@click.argument("user", metavar="USER")
@cluster_options
@click.option("--fresh", is_flag=True, help="Only the temporary home, which homePolicy: Fresh has made.")
@click.option("--yes", is_flag=True, help="Delete it; without this it is only shown.")
def command(user: str, namespace: str, context: str, kubeconfig: Path | None, fresh: bool, yes: bool) -> None:
    """Delete the home of USER (as in spec.user of the sessions), for good, and the temporary one where there is one.

    Refused while USER has a session. You need the right to list VDISessions and to get and delete claims; with the
    right to get volumes it also says where the data lies and whether any remains.
    """
    asyncio.run(_purge(connect(kubeconfig, context), namespace, user, fresh=fresh, delete=yes))


async def _purge(access: Access, namespace: str, user: str, *, fresh: bool, delete: bool) -> None:
    async with Client(access, namespace) as client:
        with telling("VDISessions", namespace):
            sessions = holders(await every(client, KINDS["VDISession"]), user)
        if sessions:
            raise CommandFailed(f"{user} has {', '.join(sessions)}: delete that first, the home is kept then")
        wanted = (names.fresh_home_name(user),) if fresh else (names.home_name(user), names.fresh_home_name(user))
        claims = await _claims(client, namespace, user, wanted)
        volumes = []
        for claim in claims:
            volume, lacking = await _volume(client, claim)
            volumes.append(volume)
            for line in description(claim, volume, lacking):
                click.echo(line)
        if not delete:
            click.echo("nothing was deleted: give --yes to delete it", err=True)
            raise click.exceptions.Exit(1)
        for claim, volume in zip(claims, volumes, strict=True):
            name, uid = str(claim["metadata"]["name"]), str(claim["metadata"]["uid"])
            with telling(f"PersistentVolumeClaim {name}", namespace):
                await client.delete(_CLAIM, name, uid)
            await _gone(client, name, uid)
            click.echo(f"claim {name} is deleted")
            for line in remainder(claim, volume):
                click.echo(line)


async def _claims(client: Client, namespace: str, user: str, wanted: Iterable[str]) -> list[Object]:
    """Those that there are.

    :raises CommandFailed: there is none, or one is somebody else's.
    """
    found: list[Object] = []
    missing: tuple[str, errors.NotFound] | None = None
    for name in wanted:
        with telling(f"home of {user} (PersistentVolumeClaim {name})", namespace):
            try:
                found.append(await client.get(_CLAIM, name))
            except errors.NotFound as error:
                missing = missing or (name, error)
    if not found and missing is not None:
        with telling(f"home of {user} (PersistentVolumeClaim {missing[0]})", namespace):
            raise missing[1]
    for claim in found:
        owner = (claim["metadata"].get("annotations") or {}).get(names.USER_ANNOTATION)
        if owner != user:
            said = f"claim {claim['metadata']['name']} says that it is the home of {owner or 'nobody'}"
            raise CommandFailed(f"{said}: it is left alone")
    return found


def holders(sessions: Iterable[Mapping[str, Any]], user: str) -> list[str]:
    """Names of the sessions that have the home of a user. Pure."""
    home = names.home_name(user)
    return sorted(
        str(one["metadata"]["name"])
        for one in sessions
        if names.home_name(str((one.get("spec") or {}).get("user", ""))) == home
    )


async def _volume(client: Client, claim: Mapping[str, Any]) -> tuple[Object | None, str]:
    """The claim's volume, or why it cannot be told."""
    name = str((claim.get("spec") or {}).get("volumeName") or "")
    if not name:
        return None, "none yet"
    try:
        return await client.get(VOLUME, name), ""
    except errors.NotFound:
        return None, f"{name}, which is gone"
    except errors.ApiError as error:
        return None, f"{name}, which you may not read ({error.message or error.reason})"


def description(claim: Mapping[str, Any], volume: Mapping[str, Any] | None, lacking: str = "") -> list[str]:
    """What would be deleted, in lines. Pure.

    :param lacking: why there is no volume, where there is none.
    """
    metadata, spec, status = claim["metadata"], claim.get("spec") or {}, claim.get("status") or {}
    size = (status.get("capacity") or {}).get("storage") or (
        ((spec.get("resources") or {}).get("requests") or {}).get("storage", "unknown")
    )
    annotations = metadata.get("annotations") or {}
    made = [
        f"home     {metadata['name']} of {annotations.get(names.USER_ANNOTATION, '')}",
        f"size     {size}, class {spec.get('storageClassName', '')}, since {metadata.get('creationTimestamp', '')}",
    ]
    if volume is None:
        made.append(f"volume   {lacking or 'unknown'}")
        node = annotations.get(_SELECTED_NODE, "")
    else:
        policy = volume["spec"].get("persistentVolumeReclaimPolicy", "")
        made.append(f"volume   {volume['metadata']['name']}, reclaim policy {policy}")
        node = _node(volume) or annotations.get(_SELECTED_NODE, "")
        if path := _path(volume):
            made.append(f"data     {path}")
    return [*made, f"node     {node or 'any'}"]


def remainder(claim: Mapping[str, Any], volume: Mapping[str, Any] | None) -> list[str]:
    """What is left of a home whose claim is deleted, and how to remove it, in lines. Pure."""
    name = str((claim.get("spec") or {}).get("volumeName") or "")
    if not name:
        return []
    if volume is None:
        return [f"volume {name} may remain with its data: ask an administrator (kubectl get pv {name})"]
    if volume["spec"].get("persistentVolumeReclaimPolicy") != "Retain":
        return [f"volume {name} and its data go with it"]
    where = " on ".join(filter(None, (_path(volume), _node(volume))))
    change = '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}'
    return [
        f"volume {name} REMAINS WITH ITS DATA ({where or 'its place is not told'}): its reclaim policy is Retain",
        "to have its provisioner remove both:",
        f"  kubectl patch pv {name} -p '{change}'",
        "kubectl delete pv removes the object alone, and the data stays.",
    ]


async def _gone(client: Client, name: str, uid: str) -> None:
    """Return when the claim is gone.

    :raises CommandFailed: something still uses it.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _GONE_SECONDS
    while loop.time() < deadline:
        try:
            claim = await client.get(_CLAIM, name)
            if claim["metadata"].get("uid") != uid:
                return  # another session made a new one
        except errors.NotFound:
            return
        except errors.ApiError:
            pass  # the server is asked again: it was told to delete already
        await asyncio.sleep(_LOOK_SECONDS)  # a pod that still ends has it mounted
    raise CommandFailed(f"claim {name} is being deleted and something still uses it: kubectl describe pvc {name}")


def _path(volume: Mapping[str, Any]) -> str:
    spec = volume["spec"]
    for kind in ("local", "hostPath"):
        if found := (spec.get(kind) or {}).get("path"):
            return str(found)
    return str((spec.get("csi") or {}).get("volumeHandle") or "")


def _node(volume: Mapping[str, Any]) -> str:
    """The node that it is bound to, by name or host name; empty for any."""
    terms = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for term in terms:
        for one in (*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ())):
            if one.get("operator") == "In" and one.get("values"):
                return ", ".join(map(str, one["values"]))
    return ""
