"""Signalling and control of Selkies 1.6, from a recorded conversation and from what servers may send."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vdibench.errors import Disconnected, ProtocolViolation, StreamLost, VdibenchError
from vdibench.selkies import (
    CandidateReceived,
    ComplaintReceived,
    Leg,
    LegSignalling,
    OfferReceived,
    Registered,
    candidate_address,
    decode_control,
    leg_close_reason,
    leg_is_taken,
    pong,
    repair_offer,
    resize_switch,
)

DATA = Path(__file__).parents[2] / "data" / "selkies-1-webrtc"
LEGS = {"video": Leg.VIDEO, "audio": Leg.AUDIO}


@pytest.fixture
def recorded_legs() -> dict[str, list[dict[str, str]]]:
    """The frames of both legs in order, each with who sent it."""
    legs: dict[str, list[dict[str, str]]] = json.loads((DATA / "signalling.json").read_text())
    return legs


@pytest.fixture
def recorded_messages() -> list[dict[str, str]]:
    """The beginning of the control channel, and the key and click of a user."""
    messages: list[dict[str, str]] = json.loads((DATA / "control.json").read_text())
    return messages


@pytest.mark.parametrize("name", LEGS)
def test_the_recorded_conversation(recorded_legs: dict[str, list[dict[str, str]]], name: str) -> None:
    """Fed with what the server said, we say what was said then; of the answer, what its SDP was."""
    steps = recorded_legs[name]
    theirs = [step["frame"] for step in steps if step["from"] == "server"]
    ours = [step["frame"] for step in steps if step["from"] == "client"]
    signalling = LegSignalling(LEGS[name], (1280, 720))
    said = signalling.pending()
    events: list[Any] = []
    for frame in theirs:
        events += signalling.receive(frame)
        if isinstance(events[-1], OfferReceived):
            signalling.answer(json.loads(ours[-1])["sdp"]["sdp"])
        said += signalling.pending()
    assert said == ours
    kinds = Counter(type(event) for event in events)
    assert kinds == {Registered: 1, OfferReceived: 1, CandidateReceived: 9}
    reachable = [event for event in events if isinstance(event, CandidateReceived)]
    assert sum(candidate_address(event.candidate["candidate"]) is not None for event in reachable) == 3
    offer = next(event for event in events if isinstance(event, OfferReceived))
    assert repair_offer(offer.sdp) == offer.sdp.replace("actpass", "active")


def test_no_client_asks_for_a_session(recorded_legs: dict[str, list[dict[str, str]]]) -> None:
    """The server would rewire somebody else's."""
    assert not any("SESSION" in step["frame"] for steps in recorded_legs.values() for step in steps)


@pytest.mark.parametrize(("size", "told"), [((1281, 721), "1280x720"), ((800, 600), "800x600"), (None, None)])
def test_a_hello_claims_even_sizes_only(size: tuple[int, int] | None, told: str | None) -> None:
    (hello,) = LegSignalling(Leg.VIDEO, size).pending()
    words = hello.split(" ")
    assert words[:2] == ["HELLO", "1"]
    meta = json.loads(b64decode(words[2])) if len(words) > 2 else {}
    assert meta.get("res") == told
    assert ("scale" in meta) == (told is not None)


def test_an_error_is_told_and_nothing_more() -> None:
    signalling = LegSignalling(Leg.AUDIO)
    assert signalling.receive("ERROR peer '7' busy") == [ComplaintReceived("peer '7' busy")]
    assert signalling.receive("HELLO") == [Registered()]


@pytest.mark.parametrize(
    "frame",
    ['{"sdp": {"type": "answer", "sdp": "v=0"}}', '{"ice": {"candidate": "", "sdpMLineIndex": 0}}', '{"hello": 1}'],
)
def test_what_means_nothing_to_us_is_passed_over(frame: str) -> None:
    signalling = LegSignalling(Leg.VIDEO)
    signalling.receive("HELLO")
    assert signalling.receive(frame) == []


@pytest.mark.parametrize(
    "frame",
    ["<html>", "SESSION_OK ", "HELLO", "{", '{"sdp": 1}', '{"sdp": {"type": "offer"}}', '{"ice": 4}'],
)
def test_a_foreign_frame_is_refused(frame: str) -> None:
    signalling = LegSignalling(Leg.VIDEO)
    signalling.receive("HELLO")
    with pytest.raises(ProtocolViolation):
        signalling.receive(frame)


def test_deeply_nested_json_is_refused() -> None:
    signalling = LegSignalling(Leg.VIDEO)
    signalling.receive("HELLO")
    with pytest.raises(ProtocolViolation):
        signalling.receive('{"ice":' + "[" * 100_000)


def test_nothing_comes_before_the_hello() -> None:
    with pytest.raises(ProtocolViolation):
        LegSignalling(Leg.VIDEO).receive('{"ice": {"candidate": "candidate:1", "sdpMLineIndex": 0}}')


@pytest.mark.parametrize(
    ("code", "text", "taken", "kind", "words"),
    [
        (1002, "invalid peer uid", True, StreamLost, "another client has the desktop"),
        (1002, "invalid protocol", False, ProtocolViolation, "did not understand us"),
        (1011, "", False, StreamLost, "signalling failed"),
        (1000, "", False, StreamLost, "ended the session"),
        (1006, "", False, Disconnected, "(code 1006)"),
        (None, "", False, Disconnected, "broke"),
    ],
)
def test_what_closing_means(code: int | None, text: str, taken: bool, kind: type[VdibenchError], words: str) -> None:
    assert leg_is_taken(code, text) is taken
    reason = leg_close_reason(code, text)
    assert type(reason) is kind
    assert words in reason.cause


def test_the_recorded_control_messages(recorded_messages: list[dict[str, str]]) -> None:
    theirs = [decode_control(step["message"]) for step in recorded_messages if step["from"] == "server"]
    assert all(message is not None for message in theirs)
    found = [message for message in theirs if message is not None]
    assert [message.action for message in found[:5]] == [
        "framerate",
        "video_bitrate",
        "audio_bitrate",
        "resize",
        "encoder",
    ]
    assert found[4].argument == "x264enc"
    assert {message.type for message in found[5:]} == {"cursor", "system_stats", "ping", "latency_measurement"}


def test_every_recorded_ping_is_answered_as_it_was(recorded_messages: list[dict[str, str]]) -> None:
    pings = [decode_control(step["message"]) for step in recorded_messages if '"ping"' in step["message"]]
    answers = [step["message"] for step in recorded_messages if step["message"].startswith("pong,")]
    assert pings
    assert [pong(ping.data["start_time"]) for ping in pings if ping is not None] == answers


def test_resizing_is_switched_with_a_size() -> None:
    assert resize_switch(800, 600, on=True) == "_arg_resize,true,800x600"
    assert resize_switch(800, 600, on=False) == "_arg_resize,false,800x600"
