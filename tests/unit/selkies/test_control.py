from __future__ import annotations

import gzip
import json

import pytest

from vdibench.errors import ProtocolViolation
from vdibench.selkies import (
    ControlMessage,
    Keysym,
    decode_control,
    key_down,
    key_heartbeat,
    key_up,
    pointer,
    request_key_frame,
    stats_subscription,
)
from vdibench.selkies.control import stream_info


def test_the_recorded_messages(recorded_control: list[str]) -> None:
    messages = [decode_control(text) for text in recorded_control]
    assert [message.type for message in messages if message] == [
        "server_settings",
        "display_config_update",
        "cursor",
        "system",
    ]
    settings, _, _, system = messages
    assert settings is not None
    assert settings.data["settings"]["encoder"]["value"] == "h264enc"
    assert settings.action == settings.argument == ""
    assert system is not None
    assert system.action == "auth_success"
    assert json.loads(system.argument) == {"role": "viewer", "slot": None}


def test_gzip_is_the_same_message(recorded_control: list[str]) -> None:
    for text in recorded_control:
        assert decode_control(gzip.compress(text.encode())) == decode_control(text)


def test_messages_without_data_keep_their_fields() -> None:
    assert decode_control('{"type": "ping", "start_time": 1.5}') == ControlMessage("ping", {"start_time": 1.5})
    assert decode_control('{"data": 5}') == ControlMessage("", 5)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("resolution,1920x1080", ("resolution", "1920x1080")),
        ("reload", ("reload", "")),
        ("command_error,a,b", ("command_error", "a,b")),
        ("", ("", "")),
    ],
)
def test_system_messages(action: str, expected: tuple[str, str]) -> None:
    message = decode_control(json.dumps({"type": "system", "data": {"action": action}}))
    assert message is not None
    assert (message.action, message.argument) == expected


@pytest.mark.parametrize("payload", ["_gz,1", "", b"", "pong", "[1]"])
def test_what_is_no_object_is_passed_over(payload: str | bytes) -> None:
    assert decode_control(payload) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00\x01",
        b"{}",
        gzip.compress(b"{}", mtime=0)[:-5],
        gzip.compress(b"{}", mtime=0) + b"tail",
        gzip.compress(b"\xff\xfe", mtime=0),
        b"\x1f\x8b" + bytes(20),
        gzip.compress(b'{"type"', mtime=0),
        '{"type"',
        "{]",
    ],
)
def test_garbage(payload: str | bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode_control(payload)
    assert caught.value.remedy
    assert len(str(caught.value)) < 200


def test_verbs() -> None:
    assert key_down(Keysym.A) == "kd,97"
    assert key_up(Keysym.F13) == "ku,65482"
    assert key_heartbeat([Keysym.A, 65505]) == "kh,97,65505"
    assert pointer(3, 4) == "m,3,4,0,0"
    assert pointer(3, 4, buttons=1, scroll=2) == "m,3,4,1,2"
    assert request_key_frame() == "REQUEST_KEYFRAME"
    assert (stats_subscription(on=True), stats_subscription(on=False)) == ("_stats,1", "_stats,0")


@pytest.mark.parametrize(
    ("data", "info"),
    [
        ({"info": {"encoder": "x264enc"}}, {"encoder": "x264enc"}),
        ({"encoder": "x264enc"}, {"encoder": "x264enc"}),
        ({"info": "x264enc"}, {}),
        ({"info": None}, {}),
        (["info"], {}),
        (None, {}),
    ],
)
def test_what_a_desktop_says_of_its_encoder(data: object, info: dict[str, str]) -> None:
    assert stream_info({"stream_info": ControlMessage("stream_info", data)}) == info
    assert stream_info({}) == {}
