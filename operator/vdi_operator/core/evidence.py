"""Whether a template's evidence is as the site asks for it. Pure."""

from __future__ import annotations

from vdi_operator.api.reasons import Reason
from vdi_operator.api.template import Template
from vdi_operator.core.decision import Blocked
from vdi_operator.core.instants import second
from vdi_operator.settings import Settings

__all__ = ["refusal", "remaining_seconds", "told"]

# Of a digest, for people.
_SHOWN = 12


def refusal(template: Template, settings: Settings, now: float) -> Blocked | None:
    """Why nothing more is started from a template; what runs goes on. None: nothing is asked for, or all is well.

    :param now: Unix seconds of the wall's clock: another host has said when it expires.
    """
    if not settings.require_evidence:
        return None
    found, name = template.evidence, template.name
    if found is None:
        said = f"template {name} has no evidence of a run, which this site asks for"
        return Blocked(
            Reason.EVIDENCE_MISSING, f"{said}: install it from the chart that vdibench graduate made of a passing run"
        )
    if now >= found.expires_unix_seconds:
        said = f"the evidence of template {name}, run {found.run}, expired at {second(found.expires_unix_seconds)}"
        return Blocked(Reason.EVIDENCE_EXPIRED, f"{said}: graduate a new run and upgrade the chart")
    if template.spec_digest != found.spec:
        said = f"template {name} was edited after run {found.run} was graduated: its spec has the SHA-256"
        digests = f"{template.spec_digest[:_SHOWN]}, its evidence is of {found.spec[:_SHOWN]}"
        return Blocked(
            Reason.EVIDENCE_MISMATCH, f"{said} {digests}; install it as it was, or graduate a run of what it is now"
        )
    if found.lab and not settings.allow_lab_evidence:
        where = f" ({found.hardware})" if found.hardware else ""
        said = f"the evidence of template {name}, run {found.run}, is of a lab{where}"
        return Blocked(
            Reason.EVIDENCE_OF_LAB, f"{said}: graduate a run on this site's own nodes, or set allowLabEvidence"
        )
    return None


def told(template: Template, settings: Settings) -> str:
    """What is said beside a session that was let in by evidence, empty: nothing."""
    found = template.evidence
    if not settings.require_evidence or found is None:
        return ""
    return f"evidence of run {found.run}, good until {second(found.expires_unix_seconds)}"


def remaining_seconds(template: Template, settings: Settings, now: float) -> float | None:
    """Until evidence that is asked for expires, None: it does not, or has.

    :param now: as for :func:`refusal`.
    """
    if not settings.require_evidence or template.evidence is None:
        return None
    left = template.evidence.expires_unix_seconds - now
    return left if left > 0 else None
