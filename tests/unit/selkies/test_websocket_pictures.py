"""From chunks to pictures: stripes, numbers, references, and what cannot be decoded."""

from __future__ import annotations

from typing import Any

import pytest

from vdibench.selkies.websocket_frames import VideoChunk
from vdibench.selkies.websocket_pictures import Picture, PictureCollector


def chunk(identifier: int, **changes: Any) -> VideoChunk:
    """A frame of 640x360 that refers to the one before, unless told otherwise."""
    key = changes.pop("key", False)
    values: dict[str, Any] = {
        "codec": "h264",
        "key": key,
        "long_term": False,
        "frame_id": identifier & 0xFFFF,
        "top": 0,
        "width": 640,
        "height": 360,
        "reference": (identifier if key else identifier - 1) & 0xFFFF,
        "data": b"x",
    }
    return VideoChunk(**(values | changes))


def run(*chunks: VideoChunk, height: int = 360) -> list[Picture]:
    collector = PictureCollector()
    if height:
        collector.resize(height)
    done = [picture for number, each in enumerate(chunks) for picture in collector.add(each, number, number + 0.5)]
    return done + collector.flush()


def fates(*chunks: VideoChunk) -> list[bool]:
    return [picture.decodable for picture in run(*chunks)]


def test_whole_frames_are_pictures_at_once() -> None:
    collector = PictureCollector()
    (first,) = collector.add(chunk(0, key=True), 1.0, 2.0)
    (second,) = collector.add(chunk(1), 3.0, 4.0)
    assert not collector.waiting
    assert (first.key, first.decodable, first.first_arrival_seconds, first.arrival_seconds) == (True, True, 1.0, 2.0)
    assert (second.frame_id, second.key, second.decodable, second.skipped) == (1, False, True, 0)


def test_stripes_of_one_number_are_one_picture() -> None:
    stripes = [
        chunk(identifier, key=not identifier, top=top, height=120) for identifier in range(3) for top in (0, 120, 240)
    ]
    pictures = run(*stripes)
    assert [picture.frame_id for picture in pictures] == [0, 1, 2]
    assert [len(picture.chunks) for picture in pictures] == [3, 3, 3]
    assert (pictures[1].first_arrival_seconds, pictures[1].arrival_seconds) == (3, 5.5)
    assert all(picture.decodable for picture in pictures)


def test_the_height_is_learned_where_nobody_says_it() -> None:
    """Only the very first picture is taken apart."""
    stripes = [
        chunk(identifier, key=not identifier, top=top, height=180) for identifier in range(3) for top in (0, 180)
    ]
    assert [len(picture.chunks) for picture in run(*stripes, height=0)] == [1, 1, 2, 2]


def test_a_part_of_the_screen_waits_for_the_next_number_or_a_flush() -> None:
    collector = PictureCollector()
    collector.resize(360)
    assert collector.add(chunk(0, key=True, height=180), 0, 0) == []
    assert collector.waiting
    (part,) = collector.flush()
    assert len(part.chunks) == 1
    assert collector.flush() == []
    assert collector.add(chunk(1, height=180), 1, 1) == []
    (earlier,) = collector.add(chunk(2, height=180), 2, 2)
    assert (earlier.frame_id, earlier.arrival_seconds) == (1, 1)


def test_the_same_row_again_is_another_picture() -> None:
    """Numbers restart: 0 follows 0."""
    pictures = run(chunk(0, key=True, height=180), chunk(0, key=True, height=180))
    assert [len(picture.chunks) for picture in pictures] == [1, 1]


@pytest.mark.parametrize("last", [5, 65_535, 30_000])
def test_numbers_restart_on_a_key_frame(last: int) -> None:
    pictures = run(chunk(last, key=True), chunk(0, key=True), chunk(1), chunk(2))
    assert [picture.decodable for picture in pictures] == [True] * 4
    assert [picture.skipped for picture in pictures] == [0] * 4


def test_numbers_wrap() -> None:
    pictures = run(chunk(65_534, key=True), chunk(65_535), chunk(65_536), chunk(65_537))
    assert [picture.frame_id for picture in pictures] == [65_534, 65_535, 0, 1]
    assert [(picture.decodable, picture.skipped) for picture in pictures] == [(True, 0)] * 4


def test_what_refers_to_something_missing_waits_for_a_key_frame() -> None:
    pictures = run(chunk(0, key=True), chunk(1), chunk(4), chunk(5), chunk(6, key=True), chunk(7))
    assert [picture.decodable for picture in pictures] == [True, True, False, False, True, True]
    assert [picture.skipped for picture in pictures] == [0, 0, 2, 0, 0, 0]


def test_a_beginning_without_key_frame() -> None:
    assert fates(chunk(7), chunk(8), chunk(9, key=True), chunk(10)) == [False, False, True, True]


def test_a_gap_that_is_referred_across_is_none() -> None:
    assert fates(chunk(0, key=True), chunk(1), chunk(4, reference=1), chunk(5)) == [True] * 4


def test_an_anchor_is_remembered_longer() -> None:
    many = [chunk(identifier) for identifier in range(1, 400)]
    assert fates(chunk(0, key=True, long_term=True), *many, chunk(500, reference=0))[-1] is True
    assert fates(chunk(0, key=True), *many, chunk(500, reference=0))[-1] is False


def test_an_unknown_reference_is_the_frame_before() -> None:
    assert fates(chunk(0, key=True), chunk(1, reference=1), chunk(2, reference=2)) == [True] * 3
    assert fates(chunk(0, key=True), chunk(2, reference=2), chunk(3, reference=3)) == [True, False, False]


def test_another_codec_begins_with_a_key_frame() -> None:
    assert fates(chunk(0, key=True), chunk(1, codec="vp8"), chunk(2, codec="vp8", key=True)) == [True, False, True]


def test_one_stripe_that_cannot_be_decoded_spoils_the_picture() -> None:
    pictures = run(
        chunk(0, key=True, height=180),
        chunk(0, key=True, top=180, height=180),
        chunk(1, height=180),
        chunk(1, top=180, height=180, reference=9),
    )
    assert [picture.decodable for picture in pictures] == [True, False]


def test_memory_is_bounded() -> None:
    collector = PictureCollector()
    collector.resize(65_535)
    longest = 0
    for top in range(0, 65_000, 2):
        for picture in collector.add(chunk(0, key=True, top=top, height=2), 0, 0):
            longest = max(longest, len(picture.chunks))
    assert longest == 256
    assert len(collector._stripes) <= 256


def test_a_picture_is_bounded_in_bytes() -> None:
    data = bytes(12 * 1024 * 1024)
    stripes = [chunk(0, key=True, top=top, height=64, data=data) for top in range(0, 64 * 5, 64)]
    assert [len(picture.chunks) for picture in run(*stripes, height=2000)] == [3, 2]
