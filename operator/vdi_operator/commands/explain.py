"""``vdi-operator explain``: why a session is not ready, and what to do about it. I/O; what it says is pure."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from vdi_operator.api.objects import Object
from vdi_operator.api.reasons import CONDITIONS, ConditionType, Reason
from vdi_operator.api.schema import MILESTONES
from vdi_operator.api.session import Session
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS
from vdi_operator.children.pod import CONTAINER
from vdi_operator.cluster import errors
from vdi_operator.cluster.access import Access
from vdi_operator.cluster.kube import Client
from vdi_operator.commands.connection import cluster_options, connect, every, log_tail, ready, telling
from vdi_operator.commands.remedies import REMEDIES
from vdi_operator.core import pods
from vdi_operator.core.instants import unix

__all__ = ["Found", "command", "document", "lines"]

_LOG_LINES = 10
_EVENTS = 20

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Found:
    """What could be read.

    :param pod: None: there is none, or it may not be read.
    :param events: about session, pod and home, oldest first.
    :param log: last lines of the desktop's container.
    :param lacking: what could not be read, and why.
    """

    session: Object
    pod: Object | None = None
    events: tuple[Object, ...] = ()
    log: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


@click.command("explain")
@click.argument("session", metavar="SESSION")
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(session: str, namespace: str, context: str, kubeconfig: Path | None, as_json: bool) -> None:
    """Say why SESSION is not ready: conditions with their remedies, phases, events, the pod and its last log lines.

    You need the right to get the VDISession; what else you may not read is named. Exit code 0 when it is ready, else 1.
    """
    found = asyncio.run(_gather(connect(kubeconfig, context), namespace, session))
    now = time.time()
    click.echo(json.dumps(document(found, now), indent=2) if as_json else "\n".join(lines(found, now)))
    raise click.exceptions.Exit(0 if ready(found.session).get("status") == "True" else 1)


async def _gather(access: Access, namespace: str, name: str) -> Found:
    async with Client(access, namespace) as client:
        with telling(f"VDISession {name}", namespace):
            one = await client.get(KINDS["VDISession"], name)
        try:
            session = Session.of(one)
        except ValueError as error:
            return Found(one, lacking=(f"pod and events: the session cannot be read ({error})",))
        lacking: list[str] = []
        pod = await _read("the pod", client.get(KINDS["Pod"], names.pod_name(session)), lacking)
        about = {
            "VDISession": name,
            "Pod": names.pod_name(session),
            "PersistentVolumeClaim": names.claim_name(session),
        }
        events: list[Object] = []
        for kind, of in about.items():
            fields = f"involvedObject.kind={kind},involvedObject.name={of}"
            events += await _read("events", every(client, KINDS["Event"], fields=fields), lacking) or []
        log: list[str] = []
        if pod is not None and _started(pod):
            # Of a container that waits for its next try, the last one's words count.
            previous = not pods.running(pod)
            reading = log_tail(access, namespace, names.pod_name(session), CONTAINER, _LOG_LINES, previous=previous)
            log = await _read("the pod's log", reading, lacking) or []
    events.sort(key=lambda event: _instant(event) or 0.0)
    return Found(one, pod, tuple(events[-_EVENTS:]), tuple(log), tuple(dict.fromkeys(lacking)))


async def _read(what: str, reading: Awaitable[_T], lacking: list[str]) -> _T | None:
    """What can be read; None, and a line in ``lacking``, where it cannot. What is not there is no fault."""
    try:
        return await reading
    except errors.NotFound:
        return None
    except errors.Forbidden as error:
        lacking.append(f"{what}: you may not ({error.message})")
    except errors.ApiError as error:
        lacking.append(f"{what}: {error}")
    return None


def document(found: Found, now: float) -> Object:
    """For programs. Pure.

    :param now: Unix seconds.
    """
    session, status = found.session, found.session.get("status") or {}
    spec, condition = session.get("spec") or {}, ready(found.session)
    return {
        "namespace": session["metadata"].get("namespace", ""),
        "name": session["metadata"]["name"],
        "user": spec.get("user", ""),
        "template": (spec.get("templateRef") or {}).get("name", ""),
        "operatingMode": spec.get("operatingMode", ""),
        "ready": condition.get("status") == "True",
        "reason": condition.get("reason", ""),
        "message": condition.get("message", ""),
        "url": status.get("url", ""),
        "node": status.get("node", ""),
        "conditions": [_condition(one, now) for one in _ordered(status.get("conditions") or ())],
        "phases": _phases(status),
        "readyInSeconds": status.get("readyInSeconds"),
        "events": [_event(one, now) for one in found.events],
        "pod": _pod(found.pod),
        "log": list(found.log),
        "lacking": list(found.lacking),
    }


def lines(found: Found, now: float) -> list[str]:
    """For people. Pure.

    :param now: Unix seconds.
    """
    said = document(found, now)
    state = "ready" if said["ready"] else f"not ready ({said['reason'] or Reason.PENDING})"
    made = [f"{said['namespace']}/{said['name']} of {said['user']}, template {said['template']}: {state}"]
    if said["url"]:
        made.append(said["url"])
    if not said["conditions"]:
        made += ["", "no conditions: the operator has not looked at it yet; see whether it runs"]
    else:
        made += ["", *_rows([["CONDITION", "STATUS", "REASON", "FOR"], *(_row(one) for one in said["conditions"])])]
        for one in said["conditions"]:
            if _worth_saying(one) and one["message"]:
                made += ["", f"{one['type']}: {one['message']}"]
                made += [f"  -> {one['remedy']}"] if one["remedy"] else []
    if said["phases"]:
        total = said["readyInSeconds"]
        made += ["", "phases of this start" + (f", {total:.3f} s in all" if total is not None else "")]
        made += _rows([["", name, f"{seconds:.3f} s"] for name, seconds in said["phases"].items()])
    if said["pod"]:
        made += ["", *_pod_lines(said["pod"])]
    if said["log"]:
        made += ["", "last lines of its log", *(f"  {line}" for line in said["log"])]
    if said["events"]:
        made += ["", "events"]
        made += _rows(
            [["", one["age"], one["type"], one["reason"], one["object"], one["message"]] for one in said["events"]]
        )
    if said["lacking"]:
        made += ["", "not shown", *(f"  {line}" for line in said["lacking"])]
    return made


def _worth_saying(condition: Mapping[str, Any]) -> bool:
    """Whether a condition is not as it should be; one of them is the better for not holding."""
    good = "False" if condition["type"] == ConditionType.TEMPLATE_DRIFTED else "True"
    return bool(condition["status"] != good or condition["reason"] == Reason.DRAINING)


def _ordered(conditions: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    order = {kind.value: place for place, kind in enumerate(CONDITIONS)}
    return sorted(conditions, key=lambda one: order.get(str(one.get("type")), len(order)))


def _condition(one: Mapping[str, Any], now: float) -> Object:
    since, reason = unix(one.get("lastTransitionTime")), str(one.get("reason", ""))
    # A cluster's operator may be newer than this program.
    remedy = REMEDIES[Reason(reason)] if reason in list(Reason) else "see the message; this program is older"
    return {
        "type": str(one.get("type", "")),
        "status": str(one.get("status", "")),
        "reason": reason,
        "message": str(one.get("message", "")),
        "since": one.get("lastTransitionTime", ""),
        "ageSeconds": None if since is None else max(0.0, round(now - since, 3)),
        "remedy": remedy,
    }


def _row(one: Mapping[str, Any]) -> list[str]:
    return [one["type"], one["status"], one["reason"], _age(one["ageSeconds"])]


def _phases(status: Mapping[str, Any]) -> dict[str, float]:
    found = status.get("phases") or {}
    return {name: float(found[name]) for name in MILESTONES if name in found}


def _instant(event: Mapping[str, Any]) -> float | None:
    for field in ("lastTimestamp", "eventTime", "firstTimestamp"):
        if (found := unix(event.get(field))) is not None:
            return found
    return unix(event["metadata"].get("creationTimestamp"))


def _event(one: Mapping[str, Any], now: float) -> Object:
    at, about = _instant(one), one.get("involvedObject") or {}
    return {
        "age": _age(None if at is None else now - at),
        "type": str(one.get("type", "")),
        "reason": str(one.get("reason", "")),
        "object": f"{about.get('kind', '')}/{about.get('name', '')}",
        "count": int(one.get("count") or 1),
        "message": pods.sentence(one.get("message")),
    }


def _pod(pod: Object | None) -> Object | None:
    if pod is None:
        return None
    return {
        "name": pod["metadata"]["name"],
        "node": pods.node(pod),
        "phase": str(pods.status(pod).get("phase", "")),
        "containers": [_container(one) for one in pods.containers(pod)],
    }


def _container(one: Mapping[str, Any]) -> Object:
    made: Object = {"name": one.get("name", ""), "restarts": int(one.get("restartCount") or 0), "state": "", "why": ""}
    for state, detail in (one.get("state") or {}).items():
        made |= {"state": state, "why": _why(detail or {})}
    last = (one.get("lastState") or {}).get("terminated")
    return made | ({"lastEnded": _why(last)} if last else {})


def _why(detail: Mapping[str, Any]) -> str:
    code = detail.get("exitCode")
    said = [str(detail.get("reason") or ""), pods.sentence(detail.get("message"))]
    said.append(f"exit code {code}" if code is not None else "")
    return ", ".join(filter(None, said))


def _pod_lines(pod: Mapping[str, Any]) -> list[str]:
    made = [f"pod {pod['name']}: {pod['phase'] or 'unknown'}" + (f" on {pod['node']}" if pod["node"] else "")]
    for one in pod["containers"]:
        text = f"  {one['name']}: {one['state'] or 'unknown'}" + (f" ({one['why']})" if one["why"] else "")
        text += f", {one['restarts']} restarts" if one["restarts"] else ""
        text += f", ended before: {one['lastEnded']}" if "lastEnded" in one else ""
        made.append(text)
    return made


def _started(pod: Mapping[str, Any]) -> bool:
    """Whether its container ran at least once, so that there may be a log."""
    for one in pods.containers(dict(pod)):
        states = {**(one.get("state") or {}), **(one.get("lastState") or {})}
        if "running" in states or "terminated" in states:
            return True
    return False


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    seconds = max(0.0, seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _rows(table: list[list[str]]) -> list[str]:
    """Columns under each other; the last one is as long as it is."""
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in table
    ]
