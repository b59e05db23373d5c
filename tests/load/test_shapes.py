"""Shapes: what was typed is what is asked for, at every moment; and nonsense is refused before anything starts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdibench.errors import ParameterError
from vdibench.load.shapes import FORMS, Stage, parse_shape, soak


def test_steps() -> None:
    shape = parse_shape("steps:1,2,4,8@30s")
    assert [stage.users for stage in shape.stages] == [1, 2, 4, 8]
    assert (shape.seconds, shape.peak) == (120.0, 8)
    assert [shape.at(moment) for moment in (0, 29.9, 30, 119.9, 120, 1e9)] == [
        *((1, 1.0), (1, 1.0), (2, 2.0), (8, 8.0)),
        *(None, None),
    ]


def test_a_storm_has_its_rate_and_holds_after_the_last_arrived() -> None:
    shape = parse_shape("storm:100@10/s+60s")
    assert shape.stages == (Stage(100, 70.0, 10.0),)
    assert shape.at(0) == (100, 10.0)
    assert shape.at(69.9) == (100, 10.0)
    assert shape.at(70) is None
    assert parse_shape("storm:3@0.5/s+1m").seconds == 66.0


def test_soak_and_spike() -> None:
    assert parse_shape("soak:20@30m").stages == (Stage(20, 1800.0),) == soak(20, 1800.0).stages
    spike = parse_shape("spike:5,20@60s")
    assert [stage.users for stage in spike.stages] == [5, 20, 5]
    assert spike.trials == (0, 0, 1), "few users before and after the many are two trials"


@given(peak=st.integers(1, 10_000), minutes=st.integers(1, 600))
def test_a_ramp_rises_evenly_to_its_peak(peak: int, minutes: int) -> None:
    shape = parse_shape(f"ramp:{peak}@{minutes}m")
    counts = [stage.users for stage in shape.stages]
    assert counts == sorted(set(counts))
    assert counts[-1] == shape.peak == peak
    assert shape.seconds == pytest.approx(60 * minutes)
    rises = [after - before for before, after in zip([0, *counts], counts, strict=False)]
    assert max(rises) - min(rises) <= 1
    for rise, stage in zip(rises, shape.stages, strict=True):
        assert rise / stage.spawn_rate == pytest.approx(stage.seconds / 2), "all are there after half of the stair"


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=8),
    st.sampled_from([("", 1), ("s", 1), ("m", 60), ("h", 3600)]),
    st.integers(1, 20),
    st.floats(0, 1, exclude_max=True),
)
def test_every_moment_belongs_to_one_stage(counts: list[int], unit: tuple[str, int], held: int, where: float) -> None:
    shape = parse_shape(f"steps:{','.join(map(str, counts))}@{held}{unit[0]}")
    assert shape.seconds == pytest.approx(len(counts) * held * unit[1])
    asked = shape.at(where * shape.seconds)
    assert asked is not None
    assert asked[0] == counts[min(int(where * len(counts)), len(counts) - 1)] or math.isclose(
        where * len(counts), round(where * len(counts)), abs_tol=1e-6
    )


@given(st.text(alphabet="stepsramoku:,@/+.0123456789 hm-x\x00é", max_size=24))
def test_any_text_is_a_shape_or_a_message_that_names_the_forms(text: str) -> None:
    said = ""
    try:
        shape = parse_shape(text)
    except ParameterError as error:
        said = str(error)
    if said:
        assert any(form in said for form in FORMS.values()) or "below" in said or "above" in said
    else:
        assert shape.seconds > 0
        assert 1 <= shape.peak <= 10_000
        assert shape.at(shape.seconds) is None


@pytest.mark.parametrize("form", FORMS.values())
def test_the_forms_that_messages_name_are_shapes(form: str) -> None:
    assert parse_shape(form).text == form


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no shape"),
        ("steps", "is no shape"),
        ("stepps:1@3s", "is no shape"),
        ("steps:1,,2@3s", "'' is no number of users"),
        ("steps:0@3s", "'0' is no number of users"),
        ("steps:-1@3s", "'-1' is no number of users"),
        ("steps:1.5@3s", "'1.5' is no number of users"),
        ("steps:²@3s", "is no number of users"),
        ("steps:1,2", "no '@'"),
        ("steps:1@", "is no duration"),
        ("steps:1@0s", "is no duration"),
        ("steps:1@3d", "is no duration"),
        ("steps:1@nan", "is no duration"),
        ("ramp:1,2@3s", "2 numbers of users where 1 belong"),
        ("storm:5@3s+1s", "'3s' is no rate"),
        ("storm:5@0/s+1s", "brings nobody"),
        ("storm:5@inf/s+1s", "is no number of users a second"),
        ("storm:5@1/s", "no '+'"),
        ("spike:5@3s", "1 numbers of users where 2 belong"),
        ("spike:5,5@3s", "5 is not fewer than 5"),
        ("soak:100000@3s", "stay below 10000"),
        ("soak:1@1000h", "stay below a week"),
    ],
)
def test_what_cannot_be(text: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said.replace("+", r"\+").replace("²", ".")):
        parse_shape(text)
