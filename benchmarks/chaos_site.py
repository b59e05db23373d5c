"""A lab's cluster under chaos: what is asked of it, what users wish, and what is not as it ought to be. Asyncio.

Everybody here speaks to the API server itself; only the operator has the fault proxy before it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from operator_api import NAMESPACE, Object, paths

from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.all import children
from vdi_operator.core.world import World
from vdi_operator.settings import Settings
from vdibench.lab.cluster.differences import differences
from vdibench.lab.cluster.furnishing import DOMAIN

__all__ = ["KINDS", "RESTING", "Away", "Churn", "Expected", "Site", "user_of", "wish"]

KINDS = ("Pod", "Service", "Secret", "IngressRoute", "Middleware", "NetworkPolicy")
"""Children that go with their session."""

# What stays of a session that is suspended.
_KEPT = ("Secret", "Middleware", "NetworkPolicy", "PersistentVolumeClaim")
RESTING = {"Running": "Published", "Suspended": "Suspended"}
"""Operating mode -> the reason of Ready of a session that is where its user wants it."""

_LIFETIMES = ("8h", "9h", "10h")
_ANSWER_SECONDS, _PAUSE_SECONDS, _PATIENCE_SECONDS = 20.0, 0.2, 120.0


class Away(Exception):
    """The API server does not answer, or not yet."""


def user_of(name: str) -> str:
    """Whose session that is."""
    return f"{name}@{DOMAIN}"


def wish(name: str) -> Object:
    """A VDISession."""
    return {
        "apiVersion": "vdibench.io/v1alpha1",
        "kind": "VDISession",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"user": user_of(name), "templateRef": {"name": "played"}},
    }


class Site:
    """The API server, as its administrator."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def ask(self, method: str, path: str, body: Object | None = None, content: str = "application/json") -> Any:
        """What is answered; None: there is no such object, or (POST) there is one already.

        :raises Away: there is no answer, or one of a server that is starting.
        """
        data = None if body is None else json.dumps(body).encode()
        try:
            async with self._http.request(
                method,
                path,
                data=data,
                headers={"Content-Type": content} if data else None,
                timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
            ) as answer:
                if answer.status == 404 or (answer.status == 409 and method == "POST"):
                    return None
                if answer.status in (401, 403, 409, 429) or answer.status >= 500:
                    # Refused are also those who come before the server has read its own rights.
                    raise Away(f"{method} {path}: {answer.status} {(await answer.text())[:200]}")
                if not answer.ok:
                    raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")
                return await answer.json() if answer.content_type == "application/json" else await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Away(f"{method} {path}: {error or type(error).__name__}") from error

    async def surely(
        self, method: str, path: str, body: Object | None = None, content: str = "application/json"
    ) -> Any:
        """As :meth:`ask`, again and again while the server is away."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await self.ask(method, path, body, content)
            except Away:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)  # it is what this is about: it comes back, and nothing tells when

    async def merge(self, kind: str, name: str, change: Object, below: str = "") -> Any:
        """Merge a change into an object; None: there is none."""
        return await self.surely("PATCH", f"{paths[kind]}/{name}{below}", change, "application/merge-patch+json")

    async def delete(self, kind: str, name: str, *, now: bool = False) -> Any:
        """Delete an object; None: there is none.

        :param now: without its grace.
        """
        return await self.surely("DELETE", f"{paths[kind]}/{name}", {"gracePeriodSeconds": 0} if now else None)

    async def all(self, kind: str) -> dict[str, Object]:
        """Name -> object.

        :raises Away: it cannot be told.
        """
        found = await self.ask("GET", paths[kind])
        return {one["metadata"]["name"]: one for one in (found or {}).get("items", ())}

    async def ready(self) -> bool:
        """Whether the API server says that it is."""
        try:
            return bool(await self.ask("GET", "/readyz") == "ok")
        except Away:
            return False


class Churn:
    """Users who change their minds, one after the other; always the same ones for a seed.

    What they wish for last is in ``wishes``: session -> operating mode.
    """

    def __init__(self, site: Site, pool: Iterable[str], seed: int, pause_seconds: float) -> None:
        self.wishes: dict[str, str] = {}
        self.changes: dict[str, int] = dict.fromkeys(("create", "suspend", "resume", "change", "delete"), 0)
        self._site = site
        self._pool = tuple(pool)
        self._random = random.Random(seed)
        self._pause_seconds = pause_seconds
        self._made, self._seconds, self._since = 0, 0.0, 0.0
        self._going = asyncio.Event()
        self._between = asyncio.Lock()

    async def begin(self) -> None:
        """Everybody has a session."""
        for name in self._pool:
            await self._create(name)

    def go(self) -> None:
        """Change minds from now on."""
        if not self._going.is_set():
            self._since = time.monotonic()
        self._going.set()

    async def stop(self) -> None:
        """Return when nobody does any more."""
        went = self._going.is_set()
        self._going.clear()
        async with self._between:
            if went:
                self._seconds += time.monotonic() - self._since

    def pace(self) -> dict[str, float | None]:
        """Changes a second while they change their minds: as they would, and as an API server in trouble let them."""
        return {
            "wanted_per_second": 1.0 / self._pause_seconds if self._pause_seconds else None,
            "made_per_second": self._made / self._seconds if self._seconds else None,
        }

    async def wish_again(self, name: str) -> None:
        """For a session that somebody else has deleted."""
        async with self._between:
            await self._create(name)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._going.wait()
            async with self._between:
                if self._going.is_set():
                    await self._change()
                    self._made += 1
            pause = self._random.uniform(0.0, 2.0 * self._pause_seconds)
            await asyncio.sleep(pause)  # people do not come at a steady pace

    async def _change(self) -> None:
        name, chance = self._random.choice(self._pool), self._random.random()
        if name not in self.wishes:
            await self._create(name)
        elif chance < 0.15:
            await self._site.delete("VDISession", name)
            del self.wishes[name]
            self.changes["delete"] += 1
        elif chance < 0.35:
            await self._site.merge("VDISession", name, {"spec": {"lifetime": self._random.choice(_LIFETIMES)}})
            self.changes["change"] += 1
        else:
            mode, word = {"Running": ("Suspended", "suspend"), "Suspended": ("Running", "resume")}[self.wishes[name]]
            await self._site.merge("VDISession", name, {"spec": {"operatingMode": mode}})
            self.wishes[name] = mode
            self.changes[word] += 1

    async def _create(self, name: str) -> None:
        await self._site.surely("POST", paths["VDISession"], wish(name))
        self.wishes[name] = "Running"
        self.changes["create"] += 1


@dataclass
class Expected:
    """What ought to be, and what is not so.

    :param ahead_seconds: of the operator's clock.
    """

    site: Site
    settings: Settings
    turn_secret: str
    homes: dict[str, str] = field(default_factory=dict)
    ahead_seconds: float = 0.0

    async def wrong(self, wishes: Mapping[str, str]) -> list[str]:
        """In sentences; empty: everybody has what they wish for, and there is nothing besides.

        :raises Away: it cannot be told.
        """
        sessions = await self.site.all("VDISession")
        said = [f"session {name} is there, and nobody wishes it" for name in sessions.keys() - wishes.keys()]
        for name, mode in wishes.items():
            reason = _reason(sessions.get(name))
            if reason != RESTING[mode]:
                said.append(f"session {name} says {reason or 'nothing'}, not {RESTING[mode]}")
        if said:
            return said  # the rest is not worth asking for
        template = (await self.site.all("VDITemplate"))["played"]
        found = {kind: await self.site.all(kind) for kind in (*KINDS, "PersistentVolumeClaim")}
        whole = {
            name: self._children({"kind": "VDISession", **sessions[name]}, template, found["Secret"]) for name in wishes
        }
        return [*compared(wishes, whole, found), *self._lost(found["PersistentVolumeClaim"])]

    async def stuck(self, wishes: Mapping[str, str]) -> list[str]:
        """Of sessions that are not where their users want them: what the operator says, and what their pods are."""
        try:
            sessions, pods = await self.site.all("VDISession"), await self.site.all("Pod")
        except Away as away:
            return [str(away)]
        said = []
        for name, mode in wishes.items():
            if _reason(sessions.get(name)) == RESTING[mode]:
                continue
            conditions = ((sessions.get(name) or {}).get("status") or {}).get("conditions") or ()
            told = {one["type"]: f"{one['reason']}: {one['message']}" for one in conditions if one["status"] != "True"}
            pod = pods.get(f"vdi-session-{name}") or {"metadata": {}, "spec": {}, "status": {}}
            true = [one["type"] for one in pod["status"].get("conditions") or () if one["status"] == "True"]
            since = {key: pod["metadata"].get(key) for key in ("creationTimestamp", "deletionTimestamp")}
            at = f"on {pod['spec'].get('nodeName')}, {pod['status'].get('phase')}, {true}, {since}"
            said.append(f"{name}: {told}; its pod is {at}")
        return said

    def _children(self, document: Object, template: Object, secrets: Mapping[str, Object]) -> list[Object]:
        """By the operator's own builders."""
        session = Session.of(document)
        world = World(
            now=time.time() + self.ahead_seconds,
            settings=self.settings,
            seen_unix_seconds=0.0,
            auth=secrets.get(names.auth_name(session)),
            rtc=secrets.get(names.rtc_name(session)),
            relay_addresses=self.settings.relay_addresses,
            turn_secret=self.turn_secret,
            spare_password="never-used-since-one-is-stored",
        )
        return list(children(session, Template.of(template), world))

    def _lost(self, claims: Mapping[str, Object]) -> list[str]:
        """Homes that were there once and are not any more, or are others; those that are new are noted."""
        said = []
        for name, uid in self.homes.items():
            claim = claims.get(name)
            if claim is None or claim["metadata"]["uid"] != uid or "deletionTimestamp" in claim["metadata"]:
                said.append(f"home {name} is lost")
        for name, claim in claims.items():
            self.homes.setdefault(name, claim["metadata"]["uid"])
        return said


def compared(
    wishes: Mapping[str, str], whole: Mapping[str, Iterable[Object]], found: Mapping[str, Mapping[str, Object]]
) -> list[str]:
    """What is missing, otherwise, or nobody's. Pure.

    :param whole: session -> all that a session that runs has.
    :param found: kind -> name -> what is there.
    """
    said = []
    allowed = set()
    for session, mode in wishes.items():
        for wanted in whole[session]:
            kind, name = wanted["kind"], wanted["metadata"]["name"]
            if mode == "Running" or kind in _KEPT:
                allowed.add((kind, name))
            if mode != "Running":
                continue
            actual = found[kind].get(name)
            if actual is None:
                said.append(f"{kind} {name} is not there")
            elif "deletionTimestamp" in actual["metadata"]:
                said.append(f"{kind} {name} is going")
            else:
                said += [f"{kind} {name}: {where}" for where in differences(actual, wanted)]
    for kind in KINDS:
        said += [
            f"{kind} {name} is nobody's"
            for name, one in found[kind].items()
            if _is_child(one) and (kind, name) not in allowed
        ]
    return said


def _is_child(one: Object) -> bool:
    """By label or by owner: either may have been taken away."""
    metadata = one["metadata"]
    labelled = (metadata.get("labels") or {}).get("app.kubernetes.io/managed-by") == names.MANAGER
    return labelled or any(owner["kind"] == "VDISession" for owner in metadata.get("ownerReferences") or ())


def _reason(session: Object | None) -> str:
    status = (session or {}).get("status") or {}
    if session is not None and status.get("observedGeneration") != session["metadata"].get("generation"):
        return "an older wish"
    found = (one["reason"] for one in status.get("conditions") or () if one["type"] == "Ready")
    return str(next(found, ""))
