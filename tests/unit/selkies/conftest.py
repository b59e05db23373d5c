"""Recorded conversations with Selkies 2.1, made anonymous."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2] / "data" / "selkies-2-webrtc"


@pytest.fixture
def recorded_signalling() -> list[dict[str, str]]:
    """A viewer's signalling: frames in order, each with who sent it."""
    frames: list[dict[str, str]] = json.loads((DATA / "signalling.json").read_text())
    return frames


@pytest.fixture
def recorded_control() -> list[str]:
    """Server messages on the channel ``input``; settings shortened."""
    messages: list[Any] = json.loads((DATA / "control.json").read_text())
    return messages


@pytest.fixture
def recorded_websocket() -> dict[str, list[dict[str, Any]]]:
    """Conversations over WebSocket by name; text whole but for the settings, video cut after its first bytes."""
    path = DATA.parent / "selkies-2-websocket" / "conversations.json"
    conversations: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    return conversations
