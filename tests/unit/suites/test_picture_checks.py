"""What the checks of picture and sound conclude: the encoder from a desktop's own words, likeness, synchronisation."""

from __future__ import annotations

import pytest

from vdibench.client.quality import PictureScore
from vdibench.client.synchronisation import ClickPair, Synchronisation
from vdibench.records import Outcome
from vdibench.selkies import ControlMessage, Dialect
from vdibench.suites.picture_checks import encoder_finding, judge_likeness, judge_synchronisation

TWO = [Dialect.SELKIES_2_WEBRTC, Dialect.SELKIES_2_WEBSOCKET]


def stream_info(*, hardware: bool) -> dict[str, ControlMessage]:
    data = {"encoder": "nvenc" if hardware else "x264", "hardware": hardware, "codec": "h264"}
    return {"stream_info": ControlMessage("stream_info", data | {"encoder_reason": "because"})}


@pytest.mark.parametrize("dialect", TWO)
@pytest.mark.parametrize(
    ("hardware", "gpu", "outcome"),
    [
        (True, True, Outcome.PASS),
        (False, False, Outcome.PASS),
        (False, True, Outcome.FAIL),
        (True, False, Outcome.PASS),
    ],
)
def test_a_silent_fall_back_fails_where_there_is_a_gpu(dialect, hardware, gpu, outcome) -> None:
    found = encoder_finding(stream_info(hardware=hardware), dialect, controlling=True, gpu=gpu)
    assert found.outcome is outcome
    assert ("hardware" if hardware else "software") in found.finding
    assert found.evidence == "because"
    assert bool(found.remedy) is (outcome is Outcome.FAIL)


@pytest.mark.parametrize("dialect", TWO)
def test_viewers_are_not_told_and_silence_is_no_data(dialect) -> None:
    assert encoder_finding({}, dialect, controlling=False, gpu=True).outcome is Outcome.NOT_APPLICABLE
    assert encoder_finding({}, dialect, controlling=True, gpu=True).outcome is Outcome.NO_DATA
    odd = {"stream_info": ControlMessage("stream_info", "nonsense")}
    assert encoder_finding(odd, dialect, controlling=True, gpu=True).outcome is Outcome.NO_DATA


SOFTWARE = ("x264enc", "openh264enc", "vp8enc", "vp9enc", "x265enc", "svtav1enc", "rav1enc", "av1enc")
HARDWARE = ("nvh264enc", "nvh265enc", "nvav1enc", "vah264enc", "vavp9enc")


@pytest.mark.parametrize("encoder", SOFTWARE + HARDWARE)
def test_1_6_names_its_encoder_to_everybody(encoder: str) -> None:
    hardware = encoder in HARDWARE
    messages = {"system:encoder": ControlMessage("system", {"action": f"encoder,{encoder}"})}
    found = encoder_finding(messages, Dialect.SELKIES_1_WEBRTC, controlling=False, gpu=True)
    assert found.outcome is (Outcome.PASS if hardware else Outcome.FAIL)
    assert found.finding == f"{encoder} ({'hardware' if hardware else 'software'})"
    assert encoder_finding({}, Dialect.SELKIES_1_WEBRTC, controlling=True, gpu=False).outcome is Outcome.NO_DATA


def test_likeness_without_a_pair_is_no_data_with_the_reason() -> None:
    [found] = judge_likeness([], 3, "the picture cannot be compared (pixel format x)")
    assert (found.outcome, found.evidence) == (Outcome.NO_DATA, "3 frames kept")
    assert "pixel format x" in found.finding


def test_likeness_tells_median_and_worst() -> None:
    picture, vmaf = judge_likeness([PictureScore(1.0, ratio, 1.0) for ratio in (0.9, 0.99, 0.97)], 3, "")
    assert picture.outcome is Outcome.PASS
    assert picture.finding == "SSIM median 0.9700, lowest 0.9000"
    assert vmaf.name == "vmaf"
    assert vmaf.remedy


PAIRS = tuple(ClickPair(at, at + 0.04) for at in (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (Synchronisation((), (), (1.0,), 100), "no click was seen"),
        (Synchronisation((), (1.0,), (), 0), "no audio packet"),
        (Synchronisation((), (1.0,), (), 100), "no click was heard"),
        (Synchronisation(PAIRS[:2], (1.0, 2.0), (1.0, 2.0), 100), "do not fit"),
    ],
)
def test_too_little_is_no_data_and_says_what_is_missing(found: Synchronisation, word: str) -> None:
    check = judge_synchronisation(found)
    assert check.outcome is Outcome.NO_DATA
    assert word in check.finding
    assert check.remedy


@pytest.mark.parametrize(("sign", "word"), [(1, "audio late"), (-1, "audio ahead")])
def test_the_offset_says_which_is_late(sign: int, word: str) -> None:
    pairs = tuple(ClickPair(at, at + sign * 0.04) for at in (1.0, 2.0, 3.0))
    check = judge_synchronisation(Synchronisation(pairs, (1.0, 2.0, 3.0), (1.0, 2.0, 3.0), 300))
    assert check.outcome is Outcome.PASS
    assert check.finding.startswith(f"40.0 ms {word}")
