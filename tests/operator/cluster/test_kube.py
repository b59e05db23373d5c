"""The client against answers that an API server gives, good and bad."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import pytest

from vdi_operator.children.kinds import KINDS
from vdi_operator.cluster import kube as module
from vdi_operator.cluster.access import Access, Token
from vdi_operator.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from vdi_operator.cluster.kube import RETRY_SECONDS, Client

from .api_server import NAMESPACE, Fault, Server, pod, session, until
from .conftest import Paused

POD, SESSION = KINDS["Pod"], KINDS["VDISession"]
TRIES = len(RETRY_SECONDS) + 1


async def test_the_life_of_an_object(api: Server, client: Client) -> None:
    made = await client.create(POD, pod("p", "cad-7", nodeName="n1"))
    assert made["metadata"]["uid"]
    assert (await client.get(POD, "p")) == made
    with pytest.raises(AlreadyExists):
        await client.create(POD, pod("p", "cad-7"))
    patched = await client.merge(POD, "p", {"spec": {"nodeName": None, "restartPolicy": "Never"}})
    assert patched["spec"] == {"restartPolicy": "Never"}
    with pytest.raises(Conflict):
        await client.delete(POD, "p", "another-uid")
    await client.delete(POD, "p", made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(POD, "p")


async def test_apply_is_server_side_forced_and_ours(api: Server, client: Client) -> None:
    await client.apply(POD, "p", pod("p", "cad-7", nodeName="n1"))
    (seen,) = api.asked("PATCH", "pods")
    assert seen.content_type == "application/apply-patch+yaml"
    assert seen.query == {"fieldManager": "vdi-operator", "force": "true"}
    assert ("pods", "p") in api.objects


async def test_a_status_patch_touches_nothing_else(api: Server, client: Client) -> None:
    api.put("vdisessions", session("cad-7"))
    await client.merge_status(SESSION, "cad-7", {"spec": {"user": "mallory"}, "status": {"node": "n1"}})
    stored = api.objects[("vdisessions", "cad-7")]
    assert (stored["spec"]["user"], stored["status"]) == ("alice", {"node": "n1"})
    assert api.seen[-1].path.endswith("/vdisessions/cad-7/status")


async def test_lists_come_in_pages_and_say_what_their_items_are(api: Server, client: Client) -> None:
    api.page = 2
    for number in range(5):
        api.put("pods", pod(f"p{number}", "cad-7"))
    api.put("pods", {"metadata": {"name": "foreign"}})
    found = [one async for page, _ in client.pages(POD, labels="app.kubernetes.io/instance=cad-7") for one in page]
    assert [one["metadata"]["name"] for one in found] == ["p0", "p1", "p2", "p3", "p4"]
    assert {(one["apiVersion"], one["kind"]) for one in found} == {("v1", "Pod")}
    assert len(api.asked("GET", "pods")) == 3


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", ApiError),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
    ],
)
async def test_refusals_are_told_apart_and_not_asked_twice(
    api: Server, client: Client, status: int, reason: str, kind: type[ApiError]
) -> None:
    api.faults.append(Fault("POST", "/pods", status, reason, 'pods "p" is forbidden: exceeded quota: q', times=99))
    with pytest.raises(ApiError) as caught:
        await client.create(POD, pod("p", "cad-7"))
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.reason) == (status, reason)
    assert "exceeded quota" in str(caught.value)
    assert len(api.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthorized), (429, TooManyRequests), (500, Unavailable), (503, Unavailable)]
)
async def test_what_may_pass_is_tried_a_bounded_number_of_times(
    api: Server, client: Client, paused: Paused, status: int, kind: type[ApiError]
) -> None:
    api.faults.append(Fault("GET", "/pods/p", status, times=99))
    with pytest.raises(kind):
        await client.get(POD, "p")
    assert len(api.seen) == TRIES
    assert all(0 < pause <= limit for pause, limit in zip(paused.seconds, RETRY_SECONDS, strict=True))


async def test_what_passes_is_forgotten(api: Server, client: Client, counts: Counter[tuple[str, str, int]]) -> None:
    api.put("pods", pod("p", "cad-7"))
    api.faults += [Fault("GET", "/pods/p", 503), Fault("GET", "/pods/p", 429)]
    assert (await client.get(POD, "p"))["metadata"]["name"] == "p"
    assert counts == {("get", "Pod", 503): 1, ("get", "Pod", 429): 1, ("get", "Pod", 200): 1}


async def test_a_lost_answer_to_a_creation_is_found_to_have_created(
    api: Server, client: Client, counts: Counter[tuple[str, str, int]]
) -> None:
    api.put("pods", pod("p", "cad-7"))  # what the first try did before its answer was lost
    api.faults.append(Fault("POST", "/pods", 0))
    with pytest.raises(AlreadyExists):
        await client.create(POD, pod("p", "cad-7"))
    assert counts == {("create", "Pod", 0): 1, ("create", "Pod", 409): 1}


async def test_retry_after_is_waited_for(api: Server, client: Client, paused: Paused) -> None:
    api.put("pods", pod("p", "cad-7"))
    api.faults.append(Fault("GET", "/pods/p", 429, headers={"Retry-After": "1"}, times=2))
    await client.get(POD, "p")
    assert paused.seconds == [1.0, 1.0]


async def test_a_longer_retry_after_is_handed_on_and_holds_nobody_up(
    api: Server, client: Client, paused: Paused
) -> None:
    api.faults.append(Fault("GET", "/pods/p", 429, headers={"Retry-After": "30"}))
    with pytest.raises(TooManyRequests) as caught:
        await client.get(POD, "p")
    assert caught.value.retry_after_seconds == 30.0
    assert paused.seconds == []


async def test_a_server_that_is_not_there_is_unavailable(paused: Paused) -> None:
    async with Client(Access("http://127.0.0.1:9"), NAMESPACE, sleep=paused) as alone:
        with pytest.raises(Unavailable) as caught:
            await alone.get(POD, "p")
    assert caught.value.code == 0
    assert len(paused.seconds) == len(RETRY_SECONDS)


async def test_nodes_belong_to_no_namespace(api: Server, client: Client) -> None:
    api.put("nodes", {"metadata": {"name": "n1"}})
    assert (await client.get(KINDS["Node"], "n1"))["metadata"]["name"] == "n1"
    assert api.seen[-1].path == "/api/v1/nodes/n1"


async def test_a_new_token_is_used_at_once_when_the_old_one_is_refused(
    api: Server, tmp_path: Path, paused: Paused
) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    token = Token(path=path)
    api.put("pods", pod("p", "cad-7"))
    api.faults.append(Fault("GET", "/pods/p", 401))

    async def renew(seconds: float) -> None:
        path.unlink()
        path.write_text("second\n")
        token._looked = float("-inf")  # its file was looked at a moment ago: a second has passed for the test

    async with Client(Access(api.url, token=token), NAMESPACE, sleep=renew) as found:
        await found.get(POD, "p")
    assert [one.authorization for one in api.seen] == ["Bearer first", "Bearer second"]


async def test_a_watch_tells_what_happens_and_bookmarks(api: Server, client: Client) -> None:
    api.put("pods", pod("before", "cad-7"))
    since = str(api.version)
    events = []
    async with aclosing(client.watch(POD, since)) as watch:
        api.put("pods", pod("p", "cad-7"))
        api.put("services", pod("s", "cad-7"))
        api.put("pods", pod("p", "cad-7", nodeName="n1"))
        api.remove("pods", "p")
        async for kind, one in watch:
            events.append((kind, one["metadata"].get("name")))
            if kind == "DELETED":
                api.say("BOOKMARK", "pods", {"metadata": {"resourceVersion": "900"}})
            if kind == "BOOKMARK":
                break
    assert events == [("ADDED", "p"), ("MODIFIED", "p"), ("DELETED", "p"), ("BOOKMARK", None)]
    (seen,) = api.asked("GET", "pods", watch=True)
    assert seen.query["allowWatchBookmarks"] == "true"
    assert seen.query["resourceVersion"] == since


@pytest.mark.parametrize("kind", ["Event", "Pod"])
async def test_a_watch_that_may_be_quiet_ends_before_its_silence_means_that_it_is_dead(
    api: Server, client: Client, kind: str
) -> None:
    for _ in range(20):  # each is drawn
        watch = client.watch(KINDS[kind], "0")
        first = asyncio.ensure_future(anext(watch))
        await until(lambda: api.watching() == 1)
        api.cut()
        with pytest.raises(StopAsyncIteration):
            await first
    drawn = [int(one.query["timeoutSeconds"]) for one in api.seen]
    assert len(drawn) == 20
    assert all((seconds < module._SILENT_SECONDS) == (kind in module.UNMARKED) for seconds in drawn)


async def test_a_watch_from_too_long_ago_is_gone(api: Server, client: Client) -> None:
    api.compact()
    watch = client.watch(POD, "1")
    with pytest.raises(Gone):
        await anext(watch)


async def test_an_event_may_come_in_pieces(api: Server, client: Client) -> None:
    api.put("pods", pod("large", "cad-7", note="ä" * 300_000))
    async with aclosing(client.watch(POD, "0")) as watch:
        kind, one = await anext(watch)
    assert (kind, len(one["spec"]["note"])) == ("ADDED", 300_000)


async def test_an_error_event_is_raised(api: Server, client: Client) -> None:
    api.put("pods", pod("p", "cad-7"))
    watch = client.watch(POD, "0")
    assert (await anext(watch))[0] == "ADDED"
    api.say("ERROR", "pods", {"kind": "Status", "code": 500, "message": "etcd is tired"})
    with pytest.raises(Unavailable, match="etcd"):
        await anext(watch)
