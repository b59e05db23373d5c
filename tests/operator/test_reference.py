"""The reference names what there is: conditions, reasons with their remedies, metrics, settings, children."""

from __future__ import annotations

import re
from inspect import getsource
from pathlib import Path

from vdi_operator.api.reasons import FAILURES, ConditionType, Reason
from vdi_operator.api.schema import MILESTONES, definitions
from vdi_operator.cluster import process
from vdi_operator.cluster.metrics import Metrics
from vdi_operator.cluster.sessions import State
from vdi_operator.commands.remedies import REMEDIES
from vdi_operator.settings import Settings

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "operator.md").read_text()


def section(title: str) -> str:
    """What stands below a heading, until the next one."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def words(title: str) -> list[str]:
    """What the first column of a section's table names."""
    rows = re.findall(r"^\| (`.*?) \|", section(title), flags=re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def test_conditions_are_in_the_order_of_a_start() -> None:
    assert words("Conditions") == [str(kind) for kind in ConditionType]


def test_every_reason_is_there_with_what_to_do() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section("Reasons"), flags=re.MULTILINE)
    assert {reason: said.strip() for reason, said in rows} == {str(reason): REMEDIES[reason] for reason in Reason}
    assert [reason for reason, _ in rows] == [str(reason) for reason in Reason]
    assert f"from `{FAILURES[0]}` on" in section("Reasons")


def test_every_metric_is_there() -> None:
    metrics = Metrics()
    metrics.sessions(dict)
    metrics.waiting(dict)
    metrics.warm_slots(dict)
    there = {family.name for family in metrics.registry.collect()}
    there |= set(re.findall(r'metrics\.gauge\(\s*"(\w+)"', getsource(process)))
    told = {name.removesuffix("_total") for name in words("Metrics")}
    assert told == {name.removesuffix("_total") for name in there}
    assert all(f"`{state}`" in section("Metrics") for state in State)
    assert all(f"`{name}`" in section("Metrics") for name in MILESTONES)


def test_every_setting_is_there() -> None:
    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    assert sorted(words("Settings")) == sorted(camel(name) for name in Settings.__dataclass_fields__)


def test_every_field_of_a_spec_is_there() -> None:
    template, session = (
        one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        for one in definitions()
    )
    assert [name for name in template if f"`{name}`" not in section("VDITemplate (`vdt`)")] == []
    told = section("VDISession (`vds`)")
    assert [name for name in session if f"`spec.{name}" not in told] == []
