"""What a lab may be asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vdibench.errors import ParameterError
from vdibench.lab import Access, DesktopSpec, Lab, LabSpec
from vdibench.records import Display, Workload
from vdibench.selkies import Dialect

ONE = DesktopSpec(Display(1280, 720, 30), Workload.VIDEO, 4_000_000, basic_auth=False, audible=False)


def test_json_there_and_back() -> None:
    other = replace(
        ONE, dialect=Dialect.SELKIES_2_WEBSOCKET, access=Access(tls=True, subfolder="/a/desk.1", secure=True)
    )
    spec = LabSpec((DesktopSpec(), ONE, other), turn=False, turn_lifetime_seconds=60)
    assert LabSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (replace(ONE, display=Display(1280, 721, 30)), "display side 721 is odd"),
        (replace(ONE, display=Display(32, 720, 30)), "display side 32 is out of range: choose 64 to 8192"),
        (replace(ONE, display=Display(1280, 720, 7)), "frame rate 7 is out of range: choose 8 to 240"),
        (replace(ONE, bitrate_bps=99_000), "bit rate 99000 is out of range"),
        (replace(ONE, dialect=Dialect.SELKIES_1_WEBRTC), "a lab cannot speak selkies-1-webrtc"),
        (replace(ONE, bitrate_bps=100_500), "bit rate 100500 is no multiple of 1000"),
    ],
)
def test_out_of_range(wrong: DesktopSpec, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        LabSpec((wrong,))


@pytest.mark.parametrize("path", ["desk", "/desk/", "/", "/../x", "/a//b", "/a b", "/a?b", "/a%2fb"])
def test_bad_subfolder(path: str) -> None:
    with pytest.raises(ParameterError, match="is no sub-folder: write one such as /desk"):
        Access(subfolder=path)


def test_no_desktops() -> None:
    with pytest.raises(ParameterError, match="a lab of nothing was asked for"):
        LabSpec(())


@pytest.mark.parametrize("name", ["Upper", "a b", "../x", "-a", "a-", "n" * 33, "a/b", "ü"])
def test_bad_name(name: str) -> None:
    with pytest.raises(ParameterError, match="cannot be the name of a lab"):
        Lab.up(LabSpec((ONE,)), name=name, owned=True)
    with pytest.raises(ParameterError):
        Lab.find(name)
