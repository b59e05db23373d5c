"""Conversation of the WebSocket dialect, against recorded ones and hostile ones."""

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
from vdibench.selkies import Role
from vdibench.selkies.websocket import (
    MessageReceived,
    PictureSized,
    PipelineReset,
    SettingsStated,
    StreamWishes,
    WebSocketConversation,
)

SETTINGS = '{"type": "server_settings", "settings": {"encoder": {"value": "h264enc"}}}'


def conversation(role: Role = Role.CONTROLLER, **wishes: Any) -> WebSocketConversation:
    return WebSocketConversation(role, "tab", StreamWishes(**wishes))


def events(talk: WebSocketConversation, *texts: str) -> list[Any]:
    return [event for text in texts for event in talk.receive(text) if not isinstance(event, MessageReceived)]


def replayed(recorded: list[dict[str, Any]], talk: WebSocketConversation) -> list[Any]:
    texts = [frame["text"] for frame in recorded if frame["from"] == "desktop" and "text" in frame]
    return events(talk, *texts)


def test_a_controllers_conversation(recorded_websocket: dict[str, list[dict[str, Any]]]) -> None:
    talk = conversation(size=(1280, 720), framerate=60)
    assert talk.query == {}
    happened = replayed(recorded_websocket["controller"], talk)
    assert happened == [SettingsStated(), PictureSized(1280, 720), PipelineReset()]
    settings, *rest = talk.pending()
    assert json.loads(settings.removeprefix("SETTINGS,")) == {
        "displayId": "primary",
        "initialClientWidth": 1280,
        "initialClientHeight": 720,
        "manual_resolution": False,
        "tabId": "tab",
        "audioRedundancy": True,
        "encoder": "h264enc",
        "framerate": 60,
        "video_bitrate": 8000,
    }
    assert rest == ["_gz,1", "_stats,1"]
    assert talk.pending() == []


def test_a_lone_viewers_conversation(recorded_websocket: dict[str, list[dict[str, Any]]]) -> None:
    talk = conversation(Role.VIEWER)
    assert talk.query == {"role": "viewer"}
    # The size is that of an owner who left.
    happened = replayed(recorded_websocket["lone_viewer"], talk)
    assert happened == [PictureSized(1024, 768), SettingsStated(), PipelineReset()]
    assert talk.pending() == ['SETTINGS,{"displayId": "primary", "audioRedundancy": true}']


@pytest.mark.parametrize(("granted", "texts"), [("viewer", 1), ("controller", 0)])
def test_a_viewer_whose_token_makes_it_a_controller_says_nothing(granted: str, texts: int) -> None:
    """Its settings would take the display over."""
    talk = conversation(Role.VIEWER)
    events(talk, f'AUTH_SUCCESS,{{"role": "{granted}", "slot": null}}', "MK_ACCESS,1", SETTINGS)
    events(talk, "DISPLAY_OWNER primary")
    assert len(talk.pending()) == texts


def test_every_recorded_message_has_a_type(recorded_websocket: dict[str, list[dict[str, Any]]]) -> None:
    kinds = set()
    for recorded in recorded_websocket.values():
        talk = conversation()
        for frame in recorded:
            if frame["from"] == "desktop" and "text" in frame:
                (first, *_) = talk.receive(frame["text"])
                assert isinstance(first, MessageReceived)
                kinds.add(first.message.type)
    assert kinds == {
        "mode",
        "display_config_update",
        "cursor",
        "server_settings",
        "stream_resolution",
        "stream_info",
        "stream_stats",
        "pipeline_resetting",
        "video_started",
        "video_stopped",
        "_gz",
    }


@pytest.mark.parametrize(
    ("text", "kind", "data"),
    [
        ("MODE websockets", "mode", "websockets"),
        ('AUTH_SUCCESS,{"role": "viewer", "slot": null}', "auth_success", {"role": "viewer", "slot": None}),
        ("MK_ACCESS,1", "mk_access", "1"),
        ("KILL a new primary client, connected", "kill", "a new primary client, connected"),
        ("CONNECTION poor", "connection", "poor"),
        ("CC_RATE 4000", "cc_rate", "4000"),
        ("VIDEO_STARTED", "video_started", ""),
        ("odd,{not json", "odd", "{not json"),
        ("", "", ""),
    ],
)
def test_grammar(text: str, kind: str, data: Any) -> None:
    (event, *_) = conversation().receive(text)
    assert isinstance(event, MessageReceived)
    assert (event.message.type, event.message.data) == (kind, data)


def test_settings_are_stated_once() -> None:
    talk = conversation()
    assert events(talk, SETTINGS, SETTINGS) == [SettingsStated()]
    assert len([text for text in talk.pending() if text.startswith("SETTINGS")]) == 1


def test_who_inherits_the_display_sends_settings_again() -> None:
    talk = conversation()
    events(talk, SETTINGS)
    talk.pending()
    events(talk, "DISPLAY_OWNER primary")
    (text,) = talk.pending()
    assert text.startswith("SETTINGS,")


def test_unknown_size_is_the_one_there_is_or_a_typical_page() -> None:
    def size(*texts: str) -> tuple[int, int]:
        talk = conversation()
        events(talk, *texts, SETTINGS)
        document = json.loads(talk.pending()[0].removeprefix("SETTINGS,"))
        return document["initialClientWidth"], document["initialClientHeight"]

    assert size() == (1920, 1080)
    assert size('DISPLAY_CONFIG_UPDATE,{"layouts": {"primary": {"w": 1024, "h": 768}}}') == (1024, 768)


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "stream_resolution", "width": 0, "height": 5}',
        '{"type": "stream_resolution", "width": "1", "height": 5}',
        '{"type": "stream_resolution", "width": 3, "height": 5, "displayId": "display2"}',
        '{"type": "stream_resolution"}',
        'DISPLAY_CONFIG_UPDATE,{"layouts": {"primary": []}}',
        'DISPLAY_CONFIG_UPDATE,{"layouts": 3}',
        "DISPLAY_CONFIG_UPDATE,3",
        "stream_resolution,3",
    ],
)
def test_odd_sizes_are_none(text: str) -> None:
    assert events(conversation(), text) == []


@pytest.mark.parametrize(
    "text", ['{"type"', "{]", '{"a":' * 100_000, '{"type": "server_settings", "settings": []}', "server_settings,x"]
)
def test_garbage(text: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        conversation().receive(text)
    assert caught.value.remedy
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("code", "text", "kill", "kind", "words"),
    [
        (1000, "Superseded by new client", "a new client", TakenOver, "another client took the desktop over"),
        (1006, "", "a new client", TakenOver, "another client took the desktop over (a new client)"),
        (1000, "", "", StreamLost, "ended the session"),
        (1001, "Disconnected by the operator", "", StreamLost, "(Disconnected by the operator)"),
        (1002, "", "", ProtocolViolation, "did not understand"),
        (1006, "", "", Disconnected, "broke (code 1006)"),
        (None, "", "", Disconnected, "the connection broke"),
        (1008, "Strict shared", "Strict shared clients are not enabled.", TargetUnavailable, "not enabled."),
        (1009, "", "", ProtocolViolation, "too large"),
        (4000, "server shutting down", "", StreamLost, "stopped serving"),
        (4001, "Invalid authentication token", "", AuthenticationError, "refused our"),
        (4002, "", "", AuthenticationError, "revoked our"),
        (4029, "Rate limited", "", TargetUnavailable, "half a second"),
    ],
)
def test_close_codes(code: int | None, text: str, kill: str, kind: type[VdibenchError], words: str) -> None:
    talk = conversation()
    if kill:
        events(talk, f"KILL {kill}")
    error = talk.close_reason(code, text)
    assert type(error) is kind
    assert words in str(error)
    assert error.remedy
