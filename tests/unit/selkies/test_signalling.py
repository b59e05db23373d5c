from __future__ import annotations

import json
from typing import Any

import pytest

from vdibench.errors import (
    AuthenticationError,
    Disconnected,
    ProtocolViolation,
    StreamLost,
    TakenOver,
    TargetUnavailable,
    VdibenchError,
)
from vdibench.selkies import (
    CandidateReceived,
    OfferReceived,
    PeerNotReady,
    Registered,
    Role,
    SessionGranted,
    Signalling,
    close_reason,
)

PEER = "server-00000000-0000-4000-8000-000000000001"


def granted() -> Signalling:
    signalling = Signalling(Role.VIEWER, "")
    signalling.receive("HELLO")
    signalling.receive(f"SESSION_OK {PEER}")
    signalling.pending()
    return signalling


def test_the_recorded_conversation(recorded_signalling: list[dict[str, str]]) -> None:
    """Fed with what the server said, we say what was said then; of the answer, what its SDP was."""
    signalling = Signalling(Role.VIEWER, "")
    said, events = [], []
    for step in recorded_signalling:
        said += signalling.pending()
        if step["from"] == "client":
            continue
        for event in signalling.receive(step["frame"]):
            events.append(event)
            if isinstance(event, OfferReceived):
                answer = json.loads(recorded_signalling[-1]["frame"].partition(" ")[2])
                signalling.answer(answer["sdp"]["sdp"])
    said += signalling.pending()
    assert said == [step["frame"] for step in recorded_signalling if step["from"] == "client"]
    assert [type(event) for event in events] == [Registered, SessionGranted, OfferReceived]
    assert events[1] == SessionGranted(PEER)
    offer = events[2]
    assert isinstance(offer, OfferReceived)
    assert offer.sdp.startswith("v=0\r\n")
    assert "m=application" in offer.sdp


def test_each_frame_is_handed_out_once() -> None:
    signalling = Signalling(Role.VIEWER, "")
    assert len(signalling.pending()) == 1
    assert signalling.pending() == []


@pytest.mark.parametrize(
    ("role", "size", "expected"),
    [
        (Role.VIEWER, None, {"client_type": "viewer"}),
        (Role.CONTROLLER, None, {"client_type": "controller", "client_tab_id": "tab"}),
        (
            Role.CONTROLLER,
            (1920, 1080),
            {"client_type": "controller", "client_tab_id": "tab", "page_size": [1920, 1080]},
        ),
    ],
)
def test_how_we_introduce_ourselves(role: Role, size: tuple[int, int] | None, expected: dict[str, Any]) -> None:
    (hello,) = Signalling(role, "tab", size).pending()
    verb, kind, meta = hello.split(" ", 2)
    assert (verb, kind) == ("HELLO", "client")
    assert json.loads(meta) == {"client_slot": -1, "display_id": "primary", **expected}


def test_the_token_goes_into_the_hello() -> None:
    (hello,) = Signalling(Role.VIEWER, "", token="s3cret").pending()
    assert json.loads(hello.split(" ", 2)[2])["client_token"] == "s3cret"


def test_the_peer_that_is_not_ready_is_asked_again() -> None:
    signalling = Signalling(Role.VIEWER, "")
    signalling.receive("HELLO")
    signalling.pending()
    assert signalling.receive("ERROR peer server not found") == [PeerNotReady()]
    assert signalling.pending() == []
    signalling.ask_again()
    assert signalling.pending() == ["SESSION server"]
    assert signalling.receive(f"SESSION_OK {PEER}") == [SessionGranted(PEER)]


def test_resumed_is_a_session_too() -> None:
    signalling = Signalling(Role.VIEWER, "")
    assert signalling.receive(f"RESUMED {PEER}") == [SessionGranted(PEER)]


def test_a_trickled_candidate() -> None:
    candidate = {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMLineIndex": 0}
    assert granted().receive(f"{PEER} {json.dumps({'ice': candidate})}") == [CandidateReceived(candidate)]


@pytest.mark.parametrize("body", ['{"sdp":{"type":"answer","sdp":"v=0"}}', "{}", '{"other":1}', "[]"])
def test_what_is_no_offer_is_passed_over(body: str) -> None:
    assert granted().receive(f"{PEER} {body}") == []


@pytest.mark.parametrize(
    "frame",
    [
        "",
        " ",
        "<html>",
        "SESSION_OK",
        "SESSION_OK ",
        "ERROR sharing is off",
        "HELLOWORLD",
        "server-other {}",
        f"{PEER}",
        f"{PEER} ",
        f"{PEER} not json",
        f"{PEER} 5",
        f'{PEER} {{"sdp": null}}',
        f'{PEER} {{"sdp": {{}}}}',
        f'{PEER} {{"sdp": {{"type": "offer"}}}}',
        f'{PEER} {{"ice": 5}}',
        "\x00" * 100,
        "x" * 100_000,
    ],
    ids=lambda frame: repr(frame[:30]),
)
def test_garbage(frame: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        granted().receive(frame)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_session_frame_before_the_session() -> None:
    with pytest.raises(ProtocolViolation, match="unexpected signalling frame"):
        Signalling(Role.VIEWER, "").receive(f'{PEER} {{"sdp": {{"type": "offer", "sdp": "v=0"}}}}')


@pytest.mark.parametrize(
    ("code", "text", "kind", "words"),
    [
        (1000, "", StreamLost, "ended the session"),
        (1001, "", StreamLost, "went away"),
        (1002, "bad hello", ProtocolViolation, "(bad hello)"),
        (1006, "", Disconnected, "broke (code 1006)"),
        (1011, "trouble", StreamLost, "broke (trouble)"),
        (None, "", Disconnected, "the signalling connection broke"),
        (4000, "", TargetUnavailable, "refused us for good"),
        (4001, "Superseded by a new controller connection.", TakenOver, "took the desktop over"),
        (4001, "Invalid authentication token", AuthenticationError, "refused our session token"),
        (4002, "Token revoked", AuthenticationError, "revoked our session token"),
        (4029, "", TargetUnavailable, "wants us to wait"),
    ],
)
def test_why_the_server_hung_up(code: int | None, text: str, kind: type[VdibenchError], words: str) -> None:
    error = close_reason(code, text)
    assert type(error) is kind
    assert words in error.cause
    assert "None" not in error.cause
    assert error.remedy
