"""What is said to people about each reason."""

from __future__ import annotations

from vdi_operator.api.reasons import FAILURES, Reason
from vdi_operator.commands.remedies import REMEDIES


def test_the_table_is_the_closed_list() -> None:
    assert set(REMEDIES) == set(Reason)


def test_whatever_a_person_has_to_do_is_said() -> None:
    assert [reason for reason in FAILURES if not REMEDIES[reason]] == []


def test_a_remedy_is_an_imperative_without_a_full_stop() -> None:
    assert [text for text in REMEDIES.values() if text and (text.endswith(".") or not text[0].islower())] == []
