from __future__ import annotations

import dataclasses
import re

from vdibench.preflight import encoder_checks as checks
from vdibench.records import Display, Outcome


def test_pictures_are_encoded_and_come_back(context):
    found = checks.check_software_encoder(context)
    assert found.outcome is Outcome.PASS
    milliseconds = re.findall(r"([\d.]+) ms", found.finding)
    assert all(float(value) > 0 for value in milliseconds)
    assert len(milliseconds) == 2


def test_a_rate_that_no_core_can_keep_up_with_fails(context):
    found = checks.check_software_encoder(dataclasses.replace(context, display=Display(1920, 1080, 100_000)))
    assert found.outcome is Outcome.FAIL
    assert "too slow for 100000/s" in found.finding


def test_a_size_that_h264_cannot_carry_fails_with_the_codecs_words(context):
    found = checks.check_software_encoder(dataclasses.replace(context, display=Display(639, 359, 30)))
    assert found.outcome is Outcome.FAIL
    assert found.evidence


def test_the_capture_library_loads(context):
    found = checks.check_capture_library(context)
    assert found.outcome is Outcome.PASS
    assert "h264" in found.finding


def test_a_capture_library_that_does_not_load_is_quoted(context, monkeypatch, tmp_path):
    (tmp_path / "pixelflux.py").write_text("raise ImportError('libexample.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = checks.check_capture_library(context)
    assert found.outcome is Outcome.FAIL
    assert "libexample.so.1" in found.evidence
