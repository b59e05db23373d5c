"""Plans from stored runs: what is read of them, which are refused, and what a planner is shown."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from vdibench.analysis.capacity import plan
from vdibench.errors import NoData, ParameterError, RunInvalid, StoreError
from vdibench.metrics import Statistic, values
from vdibench.records import Outcome, RunState, SuiteVerdict
from vdibench.records.gpus import ScrapedGpu
from vdibench.report import formats
from vdibench.report.capacity_assumptions import assumptions, warnings
from vdibench.report.capacity_charts import day_chart, users_chart
from vdibench.report.capacity_document import plan_csv, plan_page
from vdibench.report.capacity_tables import (
    beyond_lines,
    cost_table,
    day_table,
    logins_table,
    plan_lead,
    plan_table,
    sources_table,
)
from vdibench.store import RunFolder
from vdibench.suites.capacity_plan import PlanOptions, Sizing, make_plan, run_argument
from vdibench.suites.capacity_report import CapacityReport, Parameters
from vdibench.suites.capacity_sources import beyond, open_measured
from vdibench.suites.profiles import notebooks_folder

from .test_charts import assert_readable

SUITE = "gpu_density"
GOOD, BAD = 0.02, 0.09
PRICES = "schema: 1\ncurrency: <EUR>\nsource: offer 4711\nas_of: 2026-11-01\nnode_per_month: 1000\ngpu_per_hour: 0.5\n"
DAY = "time,share\n00:00,0.1\n09:00,0.7\n18:00,0.2\n"


@pytest.fixture
def density(make: Callable[..., Path], part, described_run) -> Callable[..., str]:
    """A run whose sessions are good up to a level: ``density({1: GOOD, 2: BAD}, gpus=("NVIDIA L4",))``; its name."""

    def build(
        levels: dict[int, float],
        *,
        gpus: tuple[str, ...] = (),
        fps: float = 60.0,
        trials: int = 1,
        freezes=(),
        **changes,
    ) -> str:
        parts = [
            part(
                SUITE, f"desktop-{number}", level, trial, 1.76e9 + 20 * level + 200 * trial, 3.0, 1.0, fps, latency,
                0.02, freezes, seed=number,
            )
            for trial in range(trials)
            for level, latency in levels.items()
            for number in range(level)
        ]  # fmt: skip
        known = described_run()
        context = {**known.context, "gpu": bool(gpus), **changes.pop("context", {})}
        host = {**known.host, "gpus": [{"name": name, "memory_bytes": 24 * 2**30} for name in gpus]}
        return make(parts, verdict_of=(SUITE,), suite=SUITE, context=context, host=host, **changes).name

    return build


@pytest.fixture
def planned(results: Path, tmp_path: Path) -> Callable[..., Sizing]:
    """A plan from runs in the results folder."""

    def build(*runs: str, users: int | None = 500, day: str = "", prices: str = "", **given) -> Sizing:
        for name, text in (("day.csv", day), ("prices.yaml", prices)):
            if text:
                (tmp_path / name).write_text(text)
                given["day" if name == "day.csv" else "prices"] = str(tmp_path / name)
        return make_plan(PlanOptions(runs=runs, results=results, users=users, **given))

    return build


def test_a_run_says_what_one_gpu_carries(density, planned) -> None:
    run = density({1: GOOD, 2: GOOD, 4: GOOD, 6: BAD}, gpus=("NVIDIA L4",))
    (one,) = planned(run, headroom=Fraction(1, 5), gpus_per_node=("4",)).plan.templates
    source = one.template.measured
    assert (source.run, source.gpus, source.gpu, source.lower, source.upper) == (run, 1, "NVIDIA L4", 4, 5)
    assert (source.levels, source.trials, source.unit) == (4, 4, "GPU")
    assert source.started_unix_seconds == 1_760_000_000.0 - 30
    assert source.burst is not None
    assert source.burst.sessions == 4, "what started above the knee does not count"
    assert (one.carriers.conservative, one.carriers.optimistic) == (150, 120)
    assert (one.nodes.conservative, one.gpus.conservative) == (38, 152)


def test_a_run_whose_gpu_was_scraped_is_planned_by_that_one(density, planned) -> None:
    gpu = ScrapedGpu("gpu-0", "GPU-1 NVIDIA L4 on node-a", "NVIDIA L4")
    facts = {"telemetry.gpus.source": "DCGM", **gpu.facts()}
    run = density({1: GOOD, 2: GOOD, 4: BAD}, context={"gpu": True}, facts=facts)
    (one,) = planned(run, users=10).plan.templates
    assert (one.template.measured.gpus, one.template.measured.gpu) == (1, "NVIDIA L4")


def test_a_host_without_gpu_is_planned_by_hosts_and_says_so(density, planned) -> None:
    found = planned(density({1: GOOD, 2: GOOD}), users=10).plan
    (row,) = plan_table(found).to_dict("records")
    assert (row["sessions each"], row["needed"], row["GPUs in nodes"]) == (
        "at least 2 per host",
        "5 (at most) hosts",
        "none",
    )
    assert "host without GPU" in sources_table(found)["on"][0]
    assert any("measured without a GPU" in line for line in assumptions(found))
    assert any("fewer hosts may do" in line for line in warnings(found))


def test_a_host_with_two_gpus_is_a_node_of_two(density, planned) -> None:
    run = density({1: GOOD, 3: BAD}, gpus=("NVIDIA L4", "NVIDIA L4"))
    (one,) = planned(run, users=4).plan.templates
    assert (one.template.measured.unit, one.nodes.conservative, one.gpus.conservative) == ("host", 4, 8)
    for typed in ("office=4", "4"):
        with pytest.raises(ParameterError, match="measured on a whole host") as caught:
            planned(f"office={run}", users=4, gpus_per_node=(typed,))
        assert "leave --gpus-per-node" in (caught.value.remedy or "")


def test_the_report_of_a_run_stands_where_gpus_of_a_node_mean_nothing(density, results) -> None:
    run = density({1: GOOD, 2: BAD})
    report = CapacityReport(Parameters(results=str(results), run=run, gpus_per_node=4))
    assert "No plan: run" in repr(report.plan())
    assert "leave --gpus-per-node" in repr(report.plan())
    assert len(report.density()) == 2
    assert "500 users" in repr(CapacityReport(Parameters(results=str(results), run=run)).plan())


def test_gpus_of_a_node_for_all_are_those_of_the_templates_that_have_gpus(density, planned) -> None:
    cad, office = density({1: GOOD, 2: BAD}, gpus=("NVIDIA L4",)), density({1: GOOD, 2: BAD})
    found = planned(f"cad={cad}:0.5", f"office={office}", users=8, gpus_per_node=("4",)).plan
    assert [one.nodes.conservative for one in found.templates] == [1, 4]


def test_the_rule_that_decided_is_the_one_that_is_told(density, planned) -> None:
    swept = planned(density({1: GOOD, 2: GOOD, 3: BAD, 4: GOOD})).plan
    (one,) = swept.templates
    assert (one.template.measured.rule, one.template.measured.error_rate) == (
        "good when at least 80% of the trials passed",
        None,
    )
    assert "desktops: a number of sessions is good when at least 80% of the trials passed." in assumptions(swept)
    said = " ".join(warnings(swept))
    assert "one trial a level" in said
    assert "has no error rate" in said
    assert "although a smaller one was bad, and are not believed: 4." in said

    # The same rule reads the run as made it: three trials a level, a chance of 10 % to be wrong.
    parameters = {SUITE: {"search": "sequential", "trials": 6, "error_rate": 0.1}}
    tested = planned(density({1: GOOD, 2: GOOD, 3: BAD}, trials=3, parameters=parameters)).plan
    source = tested.templates[0].template.measured
    assert (source.levels, source.trials, source.error_rate, source.contradicting) == (3, 9, 0.1, ())
    assert any("wrong in at most 10% of bad" in line for line in assumptions(tested))
    said = " ".join(warnings(tested))
    assert "one trial a level" not in said
    assert "error rate" not in said
    assert "believed" not in said


def test_several_templates_have_runs_shares_and_nodes_of_their_own(density, planned) -> None:
    office = density({1: GOOD, 4: GOOD, 5: BAD}, gpus=("NVIDIA L4",))
    cad = density({1: GOOD, 2: BAD}, gpus=("NVIDIA L40S",))
    found = planned(
        f"office={office}:0.6",
        f"cad={cad}:200",
        gpus_per_node=("4", "cad=2"),
        spare_nodes=1,
        max_sessions=("office=3",),
    ).plan
    rows = plan_table(found).to_dict("records")
    assert [row["template"] for row in rows] == ["office", "cad", "all"]
    assert [row["users"] for row in rows] == ["300", "200", "500"]
    assert [row["sessions each"] for row in rows[:2]] == ["3, capped per GPU", "1 per GPU"]
    assert [row["needed"] for row in rows[:2]] == ["100 GPUs", "200 GPUs"]
    assert [row["nodes"] for row in rows] == ["26", "101", "127"]
    assert [row["GPUs in nodes"] for row in rows] == ["104", "202", "306"]
    assert list(sources_table(found)["run"]) == [office, cad]
    assert list(sources_table(found)["on"]) == ["NVIDIA L4", "NVIDIA L40S"]


def test_a_host_that_was_the_limit_is_said_where_nodes_have_more_gpus(density, planned) -> None:
    found = planned(density({1: GOOD, 2: BAD}, gpus=("NVIDIA L4",)), gpus_per_node=("4",)).plan
    full = dataclasses.replace(found.templates[0].template.measured, limited_by="host CPU")
    for gpus, told in ((4, True), (1, False)):
        template = dataclasses.replace(found.templates[0].template, measured=full, gpus_per_node=gpus)
        said = warnings(plan([template], found.terms))
        assert any("needs 4 times as much of it" in line for line in said) is told


@pytest.mark.parametrize(
    ("gpu", "has", "fits"),
    [
        ("L4", "NVIDIA L4", True),
        ("nvidia l4", "NVIDIA L4", True),
        ("L4", "NVIDIA L40S", False),
        ("L40S", "NVIDIA L4", False),
        ("A10", "NVIDIA A100-SXM4-80GB", False),
        (".*", "NVIDIA L4", False),
    ],
)
def test_a_gpu_that_was_not_measured_is_no_data(density, planned, gpu: str, has: str, fits: bool) -> None:
    run = density({1: GOOD, 2: BAD}, gpus=(has,))
    if fits:
        assert planned(run, gpu=gpu).plan.templates
        return
    with pytest.raises(NoData, match=f"was measured on {re.escape(has)}, not on") as caught:
        planned(run, gpu=gpu)
    assert caught.value.exit_code == 98
    assert caught.value.remedy


def test_a_gpu_is_not_found_on_a_host_without_one(density, planned) -> None:
    with pytest.raises(NoData, match="on a host without a GPU, not on 'L4'"):
        planned(density({1: GOOD, 2: BAD}), gpu="L4")


def test_a_run_without_a_knee_is_no_data(make, part, density, planned, results) -> None:
    other = make([part("stream_validation", seconds=3.0)], suite="stream_validation", parameters={}).name
    with pytest.raises(NoData, match=r"does not say how many sessions fit: it ran .*stream_validation"):
        planned(other)
    with pytest.raises(NoData, match="not even the smallest that it tried"):
        planned(density({1: BAD, 2: BAD}))
    nothing_of_a_session = "schema: 1\nname: few\nobjectives:\n  session_ready_seconds: p(95) < 30\n"
    unjudged = density({1: GOOD, 2: BAD}, objectives=nothing_of_a_session)
    with pytest.raises(NoData, match="no level of it was decided"):
        planned(unjudged)
    with pytest.raises(StoreError, match="there is no run"):
        planned("nothing")


def test_a_run_that_did_not_finish_is_no_data(density, planned) -> None:
    for state, told in ((RunState.INTERRUPTED, "was interrupted"), (RunState.FAILED, "failed before")):
        with pytest.raises(NoData, match=told):
            planned(density({1: GOOD, 2: BAD}, state=state))


def test_an_invalid_run_is_refused(density, planned) -> None:
    run = density({1: GOOD, 2: BAD}, contention=("another-run",))
    with pytest.raises(RunInvalid, match="another run measured on this machine") as caught:
        planned(run)
    assert caught.value.exit_code == 97


def test_a_synthetic_run_is_refused_unless_allowed_and_then_labelled_everywhere(density, planned) -> None:
    run = density({1: GOOD, 2: BAD}, context={"synthetic": True})
    with pytest.raises(NoData, match="is synthetic"):
        planned(run)
    found = planned(run, day=DAY, allow_synthetic=True).plan
    assert found.synthetic
    assert "synthetic" in warnings(found)[0]
    assert "(synthetic)" in sources_table(found)["run"][0]
    for chart in (day_chart(found), users_chart(found)):
        assert any("synthetic" in text.get_text().lower() for text in chart.texts)
    assert "Synthetic: a replayed trace" in plan_page(found)
    (row,) = csv.DictReader(io.StringIO(plan_csv(found)))
    assert row["synthetic"] == "True"


def test_a_run_that_goes_on_is_planned_from_only_by_the_report_that_is_part_of_it(
    results: Path, described_run, part
) -> None:
    with RunFolder.create(results, described_run(SUITE)) as folder:
        for level, latency in ((1, GOOD), (2, BAD)):
            for number in range(level):
                part(SUITE, f"desktop-{number}", level, 0, 1.76e9 + 20 * level, 3.0, latency=latency).fill(folder)
        folder.flush()
        options = PlanOptions(runs=(folder.path.name,), results=results, users=10, allow_running=True)
        with pytest.raises(NoData, match="still being written"):
            make_plan(options)  # the search has no verdict yet
        folder.write_verdict(SuiteVerdict(SUITE, Outcome.PASS))
        assert make_plan(options).plan.nodes.conservative == 10
        with pytest.raises(NoData, match="still being written"):
            make_plan(dataclasses.replace(options, allow_running=False))


def test_login_peaks_stand_against_what_was_measured(density, planned) -> None:
    run = density({1: GOOD, 2: GOOD, 3: BAD})
    found = planned(run, day=DAY, users=540).plan
    (row,) = logins_table(found).to_dict("records")
    assert row["logins at the peak"] == "0.600 /min at least", "324 in nine hours"
    assert row["so"] == "within what was measured"
    assert row["measured"].startswith("2 sessions in ")
    assert "(2.00 /min; " in row["measured"]
    found = planned(run, users=540, logins_per_minute=Fraction(10**6)).plan
    (row,) = logins_table(found).to_dict("records")
    assert row["logins at the peak"].endswith("(stated)")
    assert row["so"] == "beyond what was measured"
    assert any("login peak is beyond" in line for line in warnings(found))
    (row,) = logins_table(planned(run, users=540).plan).to_dict("records")
    assert (row["logins at the peak"], row["so"]) == ("no data", "no data")


def test_what_it_costs_is_shown_with_its_interval_and_its_source(density, planned) -> None:
    run = density({1: GOOD, 2: GOOD, 4: BAD}, gpus=("NVIDIA L4",))
    found = planned(run, users=600, day=DAY, prices=PRICES)
    shown = dict(cost_table(found.cost).itertuples(index=False))
    # 420 sessions, 2 to 3 a GPU, one GPU a node: 210 (140) nodes at 1,000 + 365 a month.
    assert shown["per month"] == "286,650 <EUR> (191,100 … 286,650)"
    assert shown["per user and month"] == "477.75 <EUR> (318.50 … 477.75)"
    assert "per hour of a session" in shown
    assert shown["prices from"] == "prices.yaml, offer 4711"
    assert shown["prices as of"] == "2026-11-01"
    assert plan_table(found.plan, found.cost)["per month"][0] == shown["per month"]
    page = plan_page(found.plan, found.cost)
    assert "&lt;EUR&gt;" in page
    assert "<EUR>" not in page


def test_the_page_is_one_file_with_every_part(density, planned) -> None:
    run = density({1: GOOD, 2: GOOD, 4: BAD}, gpus=("NVIDIA L4",))
    found = planned(run, day=DAY, prices=PRICES, extrapolate=True, spare_nodes=2)
    page = plan_page(found.plan, found.cost, found.beyond, command="vdibench plan --run <x>")
    for heading in ("Plan", "Cost", "Over the day", "Login peaks", "Where the numbers come from", "Assumptions"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r"(src|href)=\"https?:", page)
    assert run in page
    assert "2025-10-09" in page, "the day of the run"
    assert "--run &lt;x&gt;" in page
    for line in assumptions(found.plan, found.cost):
        assert line.split(".")[0].split("&")[0][:40] in page


def test_the_csv_has_plain_numbers_and_empty_cells_for_what_is_not_known(density, planned) -> None:
    office = density({1: GOOD, 4: GOOD}, gpus=("NVIDIA L4",))
    cad = density({1: GOOD, 2: BAD}, gpus=("=HYPERLINK(1)",))
    found = planned(f"office={office}:60%", f"cad={cad}", prices=PRICES)
    rows = list(csv.DictReader(io.StringIO(plan_csv(found.plan, found.cost))))
    assert [row["template"] for row in rows] == ["office", "cad"]
    assert (rows[0]["users"], rows[0]["needed"], rows[0]["needed_at_least"], rows[0]["knee_upper"]) == (
        "300",
        "75",
        "",
        "",
    )
    assert (rows[1]["users"], rows[1]["needed"], rows[1]["needed_at_least"]) == ("200", "200", "200")
    assert rows[0]["measured_utc"] == formats.instant(1_760_000_000.0 - 30).removesuffix(" UTC")
    assert rows[1]["gpu"] == "'=HYPERLINK(1)", "a spreadsheet must not take it for a formula"
    assert float(rows[1]["cost_per_month"]) == 200 * 1365
    assert rows[0]["cost_per_month_at_least"] == ""


def test_extrapolation_is_refused_below_six_levels_and_marked_from_there_on(density, planned) -> None:
    few = planned(density({1: GOOD, 2: GOOD, 3: GOOD}), extrapolate=True)
    (line,) = beyond_lines(few.beyond)
    assert line == "Extrapolated, desktops: no data, 3 levels were measured, 6 are needed (3 trials of 3 levels)."
    assert few.plan.templates[0].carriers.optimistic is None, "no number of the plan rests on it"
    levels = dict.fromkeys((1, 2, 3, 4, 5, 6), GOOD)
    (line,) = beyond_lines(planned(density(levels), extrapolate=True).beyond)
    assert line.startswith("Extrapolated, desktops: no data, up to 6 sessions too little slows down")


def test_extrapolation_looks_at_the_statistic_that_the_run_was_judged_by(density, results) -> None:
    """One second in three stood still for the most part: the mean is high, the 5th percentile is not."""
    objectives = "schema: 1\nname: low\nobjectives:\n  frames_per_second: {}\n"
    delivered = {}
    for judged in ("p(5) > 0.1 * target", "avg > 0.1 * target"):
        run = density(dict.fromkeys((1, 2, 3, 4, 5, 6), GOOD), freezes=(0.6,), objectives=objectives.format(judged))
        _, evidence = open_measured(results, run)
        found = beyond(evidence)
        assert found.wanted == pytest.approx(6.0)
        each = [
            Statistic.parse(judged.split()[0]).of(
                values("frames_per_second", evidence.tables, suite=SUITE, level=6, session=f"desktop-{number}")
            )
            for number in range(6)
        ]
        delivered[judged[:3]] = found.law.each(6)
        assert found.law.each(6) == pytest.approx(sum(each) / 6, rel=0.1)
    assert delivered["p(5"] < 0.8 * delivered["avg"]


def test_a_day_is_shown_instant_by_instant(density, planned) -> None:
    found = planned(density({1: GOOD, 2: BAD}), users=100, day=DAY).plan
    assert day_table(found).to_dict("list") == {
        "from": ["00:00", "09:00", "18:00"],
        "sessions": ["10", "70", "20"],
        "of what is carried": ["14.3 %", "100 %", "28.6 %"],
    }
    assert day_chart(planned(density({1: GOOD, 2: BAD})).plan) is None, "nothing is known of a day"


def test_charts_read_well(density, planned) -> None:
    several = planned(
        f"an office with a rather long name={density({1: GOOD, 2: GOOD, 4: BAD}, gpus=('NVIDIA L4',))}:0.6",
        f"cad={density({1: GOOD, 2: BAD})}",
        day=DAY,
    ).plan
    for found in (several, planned(density({1: GOOD}), users=1, day=DAY).plan):
        for chart in (day_chart(found), users_chart(found)):
            assert chart is not None
            assert_readable(chart.heading, chart)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN", ("RUN", "RUN", None)),
        ("office=RUN", ("office", "RUN", None)),
        ("office=RUN:0.6", ("office", "RUN", Fraction(3, 5))),
        ("RUN:60%", ("RUN", "RUN", Fraction(3, 5))),
        ("RUN:1", ("RUN", "RUN", 1)),
        ("RUN:1.0", ("RUN", "RUN", Fraction(1))),
        ("office=results/a=b:300", ("office", "results/a=b", 300)),
        ("a/b=c", ("b=c", "a/b=c", None)),
        ("C:\\results\\run", ("C:\\results\\run" if Path("\\").name == "\\" else "run", "C:\\results\\run", None)),
    ],
)
def test_a_run_is_named_with_template_and_part(text, expected) -> None:
    assert run_argument(text) == expected


@pytest.mark.parametrize("text", ["", "office=", ":0.5", "RUN:", "RUN:1.5", "RUN:120%", "RUN:-3", "RUN:many"])
def test_a_run_that_cannot_be_understood_is_refused(text) -> None:
    with pytest.raises(ParameterError) as caught:
        run_argument(text)
    assert caught.value.remedy


WRONG = {
    "two of a name": ({"runs": ("a=RUN:0.5", "a=RUN:0.5")}, "two templates are named 'a'"),
    "no run": ({"runs": ()}, "no run to plan from"),
    "headroom": ({"headroom": Fraction(11)}, "headroom is 11"),
    "GPUs": ({"gpus_per_node": ("0",)}, "--gpus-per-node '0' is no number"),
    "other GPUs": ({"gpus_per_node": ("x=4",)}, "there is no such template"),
    "sessions": ({"max_sessions": ("many",)}, "--max-sessions 'many' is no number"),
    "day": ({"day": "night"}, "no day named 'night'"),
    "a day's file": ({"day": "nowhere/day.csv"}, "cannot read nowhere/day.csv"),
    "prices": ({"prices": "nowhere.yaml"}, "cannot read nowhere.yaml"),
    "too many": ({"users": 10**9}, "1,000,000,000 users"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_typed_wrongly_is_one_error(what: str, density, results) -> None:
    changes, told = WRONG[what]
    run = density({1: GOOD, 2: BAD})
    given = {"runs": (run,), "users": 100, **changes}
    given["runs"] = tuple(text.replace("RUN", run) for text in given["runs"])
    with pytest.raises(ParameterError, match=re.escape(told)) as caught:
        make_plan(PlanOptions(results=results, **given))
    assert caught.value.remedy


def test_a_day_that_ships_is_found_by_name_and_called_an_example(density, results) -> None:
    assert (notebooks_folder() / "params" / "day-office.csv").is_file()
    run = density({1: GOOD, 2: BAD})
    found = make_plan(PlanOptions(runs=(run,), results=results, users=100, day="office")).plan
    assert found.peak == 70
    assert any("day-office.csv, an example" in line for line in assumptions(found))


def test_a_binary_file_is_no_day(density, planned, tmp_path: Path) -> None:
    path = tmp_path / "day.xlsx"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(ParameterError, match="is not text"):
        make_plan(PlanOptions(runs=(density({1: GOOD, 2: BAD}),), results=tmp_path / "results", users=5, day=str(path)))


def test_the_lead_says_it_in_one_sentence(density, planned) -> None:
    run = density({1: GOOD, 2: GOOD, 4: BAD}, gpus=("NVIDIA L4",))
    assert (
        plan_lead(planned(run, users=1, spare_nodes=0).plan) == "1 user, at most 1 session at once: 1 node with 1 GPU"
    )
    told = plan_lead(planned(run, users=12, day=DAY).plan)
    assert told == "12 users, at most 9 sessions at once: 5 (3 … 5) nodes with 5 (3 … 5) GPUs"
