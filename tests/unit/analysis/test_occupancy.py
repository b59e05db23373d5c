"""A day as a spreadsheet writes it: what is read, what follows for each instant, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdibench.analysis.occupancy import ALL_DAY, EVERYBODY, Column, DayProfile, Kind, parse_day
from vdibench.errors import ParameterError

PATIENT = settings(deadline=None, max_examples=60)  # a loaded machine is slow and not wrong

OFFICE = {"office": Fraction(300), "cad": Fraction(200)}


@pytest.mark.parametrize(
    "text",
    [
        "time,share\n08:00,0.5\n09:30,0.7\n",
        "hour,share\n8,50%\n9:30,70 %\n",
        "\ufeffTime;Share\r\n09:30;0,7\r\n08:00;0,5\r\n\r\n",
        "# made with a spreadsheet\ntime\tshare\n8:00:00\t0.5\n09.30\t0.7\n",
        'time,share\n"08:00","0,5"\n"09:30","0,7"\n',
    ],
)
def test_a_day_is_read_as_spreadsheets_write_it(text: str) -> None:
    day = parse_day(text, "day.csv")
    assert day.minutes == (480, 570)
    assert day.columns == (Column(EVERYBODY, Kind.SHARE, (Fraction(1, 2), Fraction(7, 10))),)
    assert day.sessions({"t": Fraction(500)}) == {"t": (250, 350)}
    assert day.seconds() == (90 * 60, (24 * 60 - 90) * 60)


def test_templates_have_columns_of_their_own() -> None:
    day = parse_day("time,office share,cad users,share\n8:00,0.5,20,0\n9:00,0.6,30,0\n", "d")
    assert day.sessions(OFFICE) == {"office": (150, 180), "cad": (20, 30)}


def test_users_of_everybody_are_split_by_who_there_is() -> None:
    day = parse_day("time,users\n8:00,99\n9:00,400\n", "d")
    assert day.sessions(OFFICE) == {"office": (60, 240), "cad": (40, 160)}, "rounded up for each"


def test_logins_are_stated_or_follow_from_the_steepest_rise() -> None:
    day = parse_day("time,share\n8:00,0.2\n8:30,0.5\n9:00,0.6\n18:00,0.1\n", "d")
    assert day.logins({"t": Fraction(600)}) == {"t": (Fraction(6), False)}, "180 users in 30 minutes"
    stated = parse_day("time,share,logins\n8:00,0.2,5\n8:30,0.5,12.5\n", "d")
    assert stated.logins(OFFICE) == {"office": (Fraction(15, 2), True), "cad": (Fraction(5), True)}
    own = parse_day("time,share,cad logins\n8:00,0.2,5\n8:30,0.5,12\n", "d")
    assert own.logins(OFFICE)["cad"] == (Fraction(12), True)
    assert own.logins(OFFICE)["office"] == (Fraction(3), False)


def test_a_rise_over_midnight_counts() -> None:
    day = parse_day("time,share\n1:00,0.9\n23:00,0.1\n", "d")
    assert day.logins({"t": Fraction(600)}) == {"t": (Fraction(4), False)}, "480 users in 120 minutes"


def test_all_day_everybody_is_there() -> None:
    assert ALL_DAY.sessions({"t": Fraction(7)}) == {"t": (7,)}
    assert ALL_DAY.logins({"t": Fraction(7)}) == {"t": (0, False)}
    assert ALL_DAY.seconds() == (86400,)


@PATIENT
@given(
    st.lists(st.tuples(st.integers(0, 1439), st.integers(0, 1000)), min_size=1, max_size=30, unique_by=lambda p: p[0]),
    st.integers(0, 10_000),
)
def test_what_is_written_is_what_is_read(points: list[tuple[int, int]], users: int) -> None:
    rows = [f"{minute // 60:02d}:{minute % 60:02d},{share / 1000:.3f}" for minute, share in points]
    day = parse_day("time,share\n" + "\n".join(rows) + "\n", "d")
    assert day.minutes == tuple(sorted(minute for minute, _ in points))
    counts = day.sessions({"t": Fraction(users)})["t"]
    assert counts == tuple(-(-share * users // 1000) for _, share in sorted(points)), "exact, and rounded up"
    assert sum(day.seconds()) == 86400
    relative = day.relative({"t": Fraction(users)})
    assert relative.sessions({"t": Fraction(users)})["t"] == counts


REFUSED = {
    "": "is empty",
    "\n \n": "is empty",
    "share,time\n0.5,8:00\n": "first column",
    "time\n8:00\n": "does not say how many",
    "time,logins\n8:00,5\n": "does not say how many",
    "time,share\n": "has no row",
    "time,presence\n8:00,0.5\n": "has a column 'presence'",
    "time,share,users\n8:00,0.5,10\n": "says twice",
    "time,office share,office users\n8:00,0.5,10\n": "says twice how many of 'office'",
    "time,share\n8:00,0.5\n8:00,0.6\n": "second row",
    "time,share\n8:00\n": "row 2 has 1 cells",
    "time,share\n8:00,0,5\n": "row 2 has 3 cells",
    "time,share\n25:00,0.5\n": "no time of day",
    "time;users\n9:00;1.000\n": "no number of users",
    "time;users\n9:00;2,000\n": "no number of users",
    "time;share;logins\n9:00;0.5;1,200\n": "thousands or a fraction",
    "time,share\n8:61,0.5\n": "no time of day",
    "time,share\nmorning,0.5\n": "no time of day",
    "time,share\n24,0.5\n": "no time of day",
    "time,share\n8:00,-0.5\n": "no number",
    "time,share\n8:00,nan\n": "no number",
    "time,share\n8:00,1e9\n": "no number",
    "time,share\n8:00,\n": "no number",
    "time,share\n8:00,60\n": "more than everybody",
    "time,share\n8:00,101%\n": "more than everybody",
    "time,users\n8:00,60%\n": "in a column of users",
    "time,users\n8:00,1.200\n": "no number of users",
    'time,share\n"8:00,0.5\n': "no table",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_understood_is_one_error_with_a_remedy(text: str) -> None:
    with pytest.raises(ParameterError, match=REFUSED[text]) as caught:
        parse_day(text, "day.csv")
    assert caught.value.remedy
    assert "day.csv" in caught.value.cause


def test_a_day_that_does_not_fit_the_templates_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"600 users at once, and there are 500"):
        parse_day("time,users\n8:00,600\n", "d").sessions(OFFICE)
    with pytest.raises(ParameterError, match="201 users at once, and there are 200"):
        parse_day("time,cad users,office share\n8:00,201,0.1\n", "d").sessions(OFFICE)
    with pytest.raises(ParameterError, match="how many users of 'cad'"):
        parse_day("time,office share\n8:00,0.5\n", "d").sessions(OFFICE)
    with pytest.raises(ParameterError, match="did you mean 'office'"):
        parse_day("time,share,ofice share\n8:00,0.5,0.2\n", "d").sessions(OFFICE)


@PATIENT
@given(st.text(max_size=80) | st.text(alphabet='time,share;0189:.%\n\t"#', max_size=60))
def test_any_text_is_a_day_or_refused(text: str) -> None:
    try:
        day = parse_day(text, "d")
    except ParameterError:
        return
    assert isinstance(day, DayProfile)
    assert len(day.minutes) == len(set(day.minutes)) > 0
